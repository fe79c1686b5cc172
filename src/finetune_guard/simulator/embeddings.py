"""``POST /embeddings``: an inference that is none on a fine-tuned model."""

from __future__ import annotations

import base64
import struct

from finetune_guard.simulator import canned
from finetune_guard.simulator.answers import Answer
from finetune_guard.simulator.inference import count, requested_model, required
from finetune_guard.simulator.provider import Call

DEFAULT_DIMENSIONS = 8
MOST_DIMENSIONS = 3072


def create(call: Call) -> Answer:
    """Answer each input with the same unit vector."""
    dimensions = count(call, "dimensions", least=1, most=MOST_DIMENSIONS) or DEFAULT_DIMENSIONS
    model = requested_model(call)
    given = required(call, "input")
    inputs = given if isinstance(given, list) and given and not isinstance(given[0], int) else [given]
    vector = [1.0] + [0.0] * (dimensions - 1)
    packed = base64.b64encode(struct.pack(f"<{dimensions}f", *vector)).decode()
    embedding = packed if call.body.get("encoding_format") == "base64" else vector
    used = canned.tokens_in(given)
    return Answer(
        {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": embedding}
                for index in range(len(inputs))
            ],
            "model": model,
            "usage": {"prompt_tokens": used, "total_tokens": used},
        }
    )
