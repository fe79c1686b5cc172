"""The public client classes: drop-in replacements for the SDK's.

Other libraries recognize the SDK's clients by ``type(client).__module__``, so an instance's class is a
subclass of the one here, with the same name and the module ``openai``. The classes here keep their own
module, where ``pickle`` finds them.
"""

from __future__ import annotations

import copyreg
from inspect import Parameter, signature
from typing import Any

import openai

from finetune_guard.client.mixins import AsyncGuarded, SyncGuarded

_GUARD = Parameter("guard", Parameter.KEYWORD_ONLY, default=None)


def show_parent_parameters(cls: Any) -> Any:
    """Show the SDK release's parameters, and ``guard``, to ``help``, editors and ``inspect``."""

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
        # Python ignores names that are not in the method's code; tools read them all.
        method.__kwdefaults__ = {**(original.__kwdefaults__ or {}), "guard": None}
        setattr(cls, name, method)
    cls.with_options = copy
    return cls


def _look_like(method: Any, original: Any, *, with_guard: bool) -> None:
    """Give ``method`` the signature and the type hints of ``original``."""
    shown, annotations = signature(original), dict(original.__annotations__)
    if with_guard:
        *parameters, last = shown.parameters.values()
        tail = (_GUARD, last) if last.kind is Parameter.VAR_KEYWORD else (last, _GUARD)
        shown, annotations["guard"] = shown.replace(parameters=[*parameters, *tail]), Any
    method.__doc__ = original.__doc__ or method.__doc__
    method.__signature__ = shown
    # ``get_type_hints`` reads these, and resolves names in the original's module.
    method.__annotations__ = annotations
    method.__wrapped__ = original


@show_parent_parameters
class OpenAI(SyncGuarded, openai.OpenAI):
    """``openai.OpenAI`` that knows whether fine-tuning jobs may still be created.

    It takes what ``openai.OpenAI`` takes, and ``guard``: a ``GuardConfig``; without one the environment
    and the defaults hold. ``client.guard`` has the methods beyond the SDK's.

    Raises:
        GuardConfigError: ``guard`` is wrong. A wrong value in the environment is raised later, when a
            decision is needed, and never stops an inference.
    """


@show_parent_parameters
class AsyncOpenAI(AsyncGuarded, openai.AsyncOpenAI):
    """``openai.AsyncOpenAI`` that knows whether fine-tuning jobs may still be created; see ``OpenAI``."""


@show_parent_parameters
class AzureOpenAI(OpenAI, openai.AzureOpenAI):
    """``openai.AzureOpenAI`` that is also this package's ``OpenAI``.

    OpenAI's policy does not apply to Azure, so no job is stopped. The guard remembers when deployments were
    called, since Azure deletes a fine-tuned one that is never called.
    """


@show_parent_parameters
class AsyncAzureOpenAI(AsyncOpenAI, openai.AsyncAzureOpenAI):
    """``openai.AsyncAzureOpenAI`` that is also this package's ``AsyncOpenAI``; see ``AzureOpenAI``."""


for _half in (OpenAI, AsyncOpenAI):
    _look_like(_half.request, _half.__bases__[-1].request, with_guard=False)

Client = OpenAI
AsyncClient = AsyncOpenAI


class _FromTheSdk(type):
    """The metaclass of classes with the SDK's module name, so that ``pickle`` finds the real ones."""


def class_of_instances(public: type[Any]) -> Any:
    """Return the class of the instances of ``public``; None if that is ``public`` itself."""
    return public.__dict__.get("_finetune_guard_instances")


def _reduce(cls: type[Any]) -> Any:
    public = cls.__bases__[0]
    return (class_of_instances, (public,)) if class_of_instances(public) is cls else cls.__qualname__


copyreg.pickle(_FromTheSdk, _reduce)

for _public in (OpenAI, AsyncOpenAI, AzureOpenAI, AsyncAzureOpenAI):
    _names = {"__module__": _public.__bases__[-1].__module__, "__doc__": _public.__doc__}
    _public._finetune_guard_instances = _FromTheSdk(_public.__name__, (_public,), _names)  # noqa: SLF001 -- for mixins.py
