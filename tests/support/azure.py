"""Shared helpers: Azure deployments in the simulator, and ways to call them."""

from __future__ import annotations

from datetime import timedelta

from finetune_guard.domain.idle_policy import SHIPPED
from tests.client.flavours import done
from tests.support.constants import MESSAGES

KEY, TOKEN, VERSION = "key-of-the-east", "token-of-entra", "2026-06-01"
BASE = "gpt-4.1-mini-2025-04-14"
TUNED = f"{BASE}.ft-0a1b2c3d"
DAY = timedelta(days=1)
AZURE = SHIPPED[0].model_copy(update={"hosts": ("127.0.0.1",)})


async def chat(client, deployment="support", **options):
    return await done(client.chat.completions.create(model=deployment, messages=MESSAGES, **options))


async def respond(client, deployment="support"):
    return await done(client.responses.create(model=deployment, input="hello"))


async def known(client):
    """What is known of each deployment of the client's resource, by name."""
    return {deployment.name: deployment for deployment in await done(client.guard.deployments())}
