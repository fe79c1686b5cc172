"""Runs each scenario with the SDK's sync and async clients, so that it is written once."""

from __future__ import annotations

import inspect
from contextlib import asynccontextmanager
from dataclasses import dataclass

import openai

import finetune_guard
from tests.support.constants import BASE
from tests.support.http import HTTP


@dataclass(frozen=True)
class Flavour:
    """One half of the SDK: its classes, and ours in their place."""

    guarded: type
    bare: type
    azure: type
    http_client: type
    is_async: bool

    def returning(self, value):
        """Return a function that gives ``value`` the way this half wants to be called back."""

        def give(*_args):
            return value

        async def give_later(*_args):
            return value

        return give_later if self.is_async else give


SYNC = Flavour(finetune_guard.OpenAI, openai.OpenAI, openai.AzureOpenAI, HTTP.Client, is_async=False)
ASYNC = Flavour(
    finetune_guard.AsyncOpenAI, openai.AsyncOpenAI, openai.AsyncAzureOpenAI, HTTP.AsyncClient, is_async=True
)


async def done(value):
    """Return ``value``, awaited if it has to be."""
    return await value if inspect.isawaitable(value) else value


async def create_job(client, base=BASE, training_file="file-x", **options):
    """Create a job, of a file that the API doesn't know by default."""
    return await done(client.fine_tuning.jobs.create(model=base, training_file=training_file, **options))


async def every(stream):
    """Iterate over ``stream``, whichever kind it is."""
    if hasattr(stream, "__aiter__"):
        async for item in stream:
            yield item
    else:
        for item in stream:
            yield item


async def listed(stream):
    """Return all items of ``stream``."""
    return [item async for item in every(stream)]


async def first_of(stream):
    """Return the first item of ``stream`` and leave it at that."""
    return await done(stream.__anext__() if hasattr(stream, "__anext__") else stream.__next__())


@asynccontextmanager
async def entered(manager):
    """Enter ``manager``, whichever kind it is."""
    if hasattr(manager, "__aenter__"):
        async with manager as value:
            yield value
    else:
        with manager as value:
            yield value
