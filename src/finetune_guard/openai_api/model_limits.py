"""What ``GET /fine_tuning/model_limits`` answers.

OpenAI's help page names it for an organization's fine-tuning availability. Its form is not published, nor
what an organization gets that is refused, so that nothing is read from it. No I/O and no clock here.
"""

from __future__ import annotations

import json
from datetime import datetime

import openai

from finetune_guard.domain.facts import ModelLimits
from finetune_guard.domain.text import one_line, without_secrets
from finetune_guard.openai_api.errors import error_message, in_short
from finetune_guard.openai_api.flow import ApiCall, Flow, Reply

_LONGEST = 2_000
_MOST_READ = 10_000  # a key that the cut falls into must be seen as a whole


def read_model_limits(now: datetime) -> Flow[tuple[ModelLimits, Reply | None]]:
    """Ask for the limits; return them and the reply, or what went wrong and None.

    Args:
        now: The time, for an error, which has none; an aware datetime.
    """
    try:
        reply = yield ApiCall("get", "/fine_tuning/model_limits")
    except openai.APIError as error:
        told = filter(None, (in_short(error), error_message(error)))
        status = error.status_code if isinstance(error, openai.APIStatusError) else None
        return ModelLimits(at=now, status=status, answer=_shown(": ".join(told))), None
    assert reply is not None
    body = "not JSON" if reply.body is None else json.dumps(reply.body, ensure_ascii=False)
    return ModelLimits(at=reply.at, status=200, answer=_shown(body)), reply


def _shown(text: str) -> str:
    return one_line(without_secrets(one_line(text, _MOST_READ)), _LONGEST)
