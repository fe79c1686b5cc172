"""Reading a file's content from the API piece by piece, for a flow that asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import openai

from finetune_guard.client.sdk_compat import unsent_request
from finetune_guard.client.threads import in_thread
from finetune_guard.openai_api.flow import Download

_PIECE = 1 << 19
"""How many bytes of a file are held in memory at a time."""


def download(client: Any, asked: Download) -> None:
    """Have ``asked.write`` take the content of a file, in the caller's thread."""
    with client.files.with_streaming_response.content(asked.file) as response:
        pieces = response.iter_bytes(_PIECE)
        while True:
            with _broken_off(client, asked):
                piece = next(pieces, None)
            if piece is None:
                return
            asked.write(piece)


async def download_async(client: Any, asked: Download) -> None:
    """Do as ``download`` does; ``asked.write`` runs in a worker thread."""
    async with client.files.with_streaming_response.content(asked.file) as response:
        pieces = response.iter_bytes(_PIECE)
        while True:
            with _broken_off(client, asked):
                piece = await anext(pieces, None)
            if piece is None:
                return
            await in_thread(asked.write, piece)


@contextmanager
def _broken_off(client: Any, asked: Download) -> Iterator[None]:
    """Turn the HTTP library's error for a body that ends too early into the SDK's."""
    try:
        yield
    except Exception as error:
        request = unsent_request(client, "get", f"/files/{asked.file}/content")
        raise openai.APIConnectionError(request=request) from error
