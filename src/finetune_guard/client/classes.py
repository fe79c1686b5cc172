"""The clients people use: drop-in replacements for the SDK's."""

from __future__ import annotations

import openai

from finetune_guard.client.mixins import AsyncGuarded, SyncGuarded


class OpenAI(SyncGuarded, openai.OpenAI):
    """``openai.OpenAI`` that knows whether fine-tuning jobs may still be created.

    It takes what ``openai.OpenAI`` takes, and ``guard``: a ``GuardConfig``; without one the environment
    and the defaults hold. ``client.guard`` tells and does what there is beyond the SDK.

    Raises:
        GuardConfigError: ``guard`` is wrong. A wrong value in the environment is raised later, when a
            decision is asked for, and never keeps an inference from going through.
    """


class AsyncOpenAI(AsyncGuarded, openai.AsyncOpenAI):
    """``openai.AsyncOpenAI`` that knows whether fine-tuning jobs may still be created; see ``OpenAI``."""


Client = OpenAI
AsyncClient = AsyncOpenAI
