"""Helpers for the tests of background keep-alives."""

from __future__ import annotations

import threading
import time

import anyio

from tests.client.flavours import done


async def until(condition):
    """Wait until something has happened in the background."""
    with anyio.fail_after(60):
        while not condition():  # noqa: ASYNC110 -- threads bring it about as well as tasks
            await anyio.sleep(0.02)


def background_threads():
    return [thread for thread in threading.enumerate() if thread.name == "finetune-guard-background"]


def checks(client):
    background = client._finetune_guard.background
    return [] if background is None else list(background._checks.values())


async def settled(client):
    """Wait until the background has looked after every organization and sleeps."""
    await until(lambda: checks(client) and all(check.next_at > time.monotonic() for check in checks(client)))
    await until(lambda: getattr(client._finetune_guard.background, "_task", None) is None)


async def use(client):
    """Make a request that is no inference."""
    await done(client.files.list())
