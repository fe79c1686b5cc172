"""The clients people use: drop-in replacements for the SDK's.

A client says that its class comes from ``openai``, since other libraries tell clients of the SDK by
``type(client).__module__``. So the class of a client is a subclass of the one here, of the same name.
The classes here keep their own module, by which ``pickle`` finds them.
"""

from __future__ import annotations

import copyreg
from typing import Any

import openai

from finetune_guard.client.mixins import AsyncGuarded, SyncGuarded
from finetune_guard.client.signatures import look_like, show_parent_parameters


@show_parent_parameters
class OpenAI(SyncGuarded, openai.OpenAI):
    """``openai.OpenAI`` that knows whether fine-tuning jobs may still be created.

    It takes what ``openai.OpenAI`` takes, and ``guard``: a ``GuardConfig``; without one the environment
    and the defaults hold. ``client.guard`` tells and does what there is beyond the SDK.

    Raises:
        GuardConfigError: ``guard`` is wrong. A wrong value in the environment is raised later, when a
            decision is asked for, and never keeps an inference from going through.
    """


@show_parent_parameters
class AsyncOpenAI(AsyncGuarded, openai.AsyncOpenAI):
    """``openai.AsyncOpenAI`` that knows whether fine-tuning jobs may still be created; see ``OpenAI``."""


@show_parent_parameters
class AzureOpenAI(OpenAI, openai.AzureOpenAI):
    """``openai.AzureOpenAI`` that is also this package's ``OpenAI``.

    OpenAI's policy doesn't speak of Azure, so that no job is stopped. The guard remembers when deployments
    were called, since Azure deletes a fine-tuned one that nobody calls.
    """


@show_parent_parameters
class AsyncAzureOpenAI(AsyncOpenAI, openai.AsyncAzureOpenAI):
    """``openai.AsyncAzureOpenAI`` that is also this package's ``AsyncOpenAI``; see ``AzureOpenAI``."""


for _half in (OpenAI, AsyncOpenAI):
    look_like(_half.request, _half.__bases__[-1].request)

Client = OpenAI
AsyncClient = AsyncOpenAI


class _FromTheSdk(type):
    """The type of the classes that say they come from the SDK, so that ``pickle`` can be told the truth."""


def class_of_instances(public: type[Any]) -> Any:
    """Return the class of the clients that ``public`` makes; None where that is ``public`` itself."""
    return public.__dict__.get("_finetune_guard_instances")


def _reduce(cls: type[Any]) -> Any:
    public = cls.__bases__[0]
    return (class_of_instances, (public,)) if class_of_instances(public) is cls else cls.__qualname__


copyreg.pickle(_FromTheSdk, _reduce)

for _public in (OpenAI, AsyncOpenAI, AzureOpenAI, AsyncAzureOpenAI):
    _names = {"__module__": _public.__bases__[-1].__module__, "__doc__": _public.__doc__}
    _public._finetune_guard_instances = _FromTheSdk(_public.__name__, (_public,), _names)  # noqa: SLF001 -- for mixins.py
