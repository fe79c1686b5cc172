"""The clients people use: drop-in replacements for the SDK's.

A client says that its class comes from ``openai``, since other libraries tell clients of the SDK by
``type(client).__module__``. So the class of a client is a subclass of the one here, of the same name.
The classes here keep their own module, by which ``pickle`` finds them.
"""

from __future__ import annotations

import copyreg
from inspect import Parameter, signature
from typing import Any

import openai

from finetune_guard.client.mixins import AsyncGuarded, SyncGuarded

_GUARD = Parameter("guard", Parameter.KEYWORD_ONLY, default=None)


def show_parent_parameters(cls: Any) -> Any:
    """Let ``help``, editors and ``inspect`` see what the SDK's release takes, and ``guard`` beside it."""

    def __init__(self: Any, *args: Any, **options: Any) -> None:  # noqa: N807 -- it becomes one
        super(cls, self).__init__(*args, **options)

    def copy(self: Any, *args: Any, **options: Any) -> Any:
        return super(cls, self).copy(*args, **options)

    parent = cls.__bases__[-1]
    methods: dict[str, Any] = {"__init__": __init__, "copy": copy}
    for name, method in methods.items():
        original = getattr(parent, name)
        method.__qualname__ = f"{cls.__qualname__}.{name}"
        method.__module__ = cls.__module__
        _look_like(method, original, with_guard=True)
        # Python itself ignores the names that aren't in the method's own code; tools read them all.
        method.__kwdefaults__ = {**(original.__kwdefaults__ or {}), "guard": None}
        setattr(cls, name, method)
    cls.with_options = copy
    return cls


def _look_like(method: Any, original: Any, *, with_guard: bool) -> None:
    """Let ``method`` show the signature and the type hints of ``original``."""
    shown, annotations = signature(original), dict(original.__annotations__)
    if with_guard:
        *parameters, last = shown.parameters.values()
        tail = (_GUARD, last) if last.kind is Parameter.VAR_KEYWORD else (last, _GUARD)
        shown, annotations["guard"] = shown.replace(parameters=[*parameters, *tail]), Any
    method.__doc__ = original.__doc__ or method.__doc__
    method.__signature__ = shown
    # What resolves type hints looks at these, and resolves names where the original was written.
    method.__annotations__ = annotations
    method.__wrapped__ = original


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
    _look_like(_half.request, _half.__bases__[-1].request, with_guard=False)

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
