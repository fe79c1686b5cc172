"""A note in the log, once in a process, that the guard does not see what is answered over a WebSocket."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from finetune_guard.client.log import log
from finetune_guard.client.urls import own_url

if TYPE_CHECKING:
    from finetune_guard.client.binding import Binding

_told: list[str] = []
"""The host that was told of; empty until then."""


def is_websocket(url: str) -> bool:
    """Whether ``url`` is a WebSocket's."""
    return url.startswith(("wss://", "ws://"))


def tell_unseen(client: Any, binding: Binding, url: str) -> None:
    """Log that what is answered over the WebSocket at ``url`` is not seen, if its host is guarded.

    It never fails.
    """
    if _told:
        return
    try:
        place = own_url(client, f"http{url[2:]}")
        if binding.hosts.include(client, place):
            _told.append(place.host)
            log(
                logging.INFO,
                "finetune-guard does not see inferences over a WebSocket (%s). If one was on a fine-tuned "
                "model, call client.guard.record(model) after it.",
                place.host,
            )
    except Exception as error:  # noqa: BLE001 -- our failure must not be the user's
        binding.failures.add(error)
