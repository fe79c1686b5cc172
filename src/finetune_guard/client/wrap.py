"""``guard(client)``: a guarded copy of an existing client."""

from __future__ import annotations

import logging
import weakref
from typing import TYPE_CHECKING, Any, overload

import openai

from finetune_guard.client.binding import Binding
from finetune_guard.client.classes import (
    AsyncAzureOpenAI,
    AsyncOpenAI,
    AzureOpenAI,
    OpenAI,
    class_of_instances,
    show_parent_parameters,
)
from finetune_guard.client.guarded import Guarded
from finetune_guard.client.rebinding import NotCopyableError, rebound
from finetune_guard.client.sdk_compat import http_client
from finetune_guard.domain.errors import GuardConfigError
from finetune_guard.domain.validation import describe_type
from finetune_guard.logs import log

if TYPE_CHECKING:
    from finetune_guard.config import GuardConfig


@overload
def guard(client: openai.AzureOpenAI, config: GuardConfig | None = None) -> AzureOpenAI: ...
@overload
def guard(client: openai.AsyncAzureOpenAI, config: GuardConfig | None = None) -> AsyncAzureOpenAI: ...
@overload
def guard(client: openai.OpenAI, config: GuardConfig | None = None) -> OpenAI: ...
@overload
def guard(client: openai.AsyncOpenAI, config: GuardConfig | None = None) -> AsyncOpenAI: ...
def guard(client: Any, config: GuardConfig | None = None) -> Any:
    """Return a guarded client of the same class as ``client``, which shares its HTTP client.

    ``client`` itself is not changed. Objects that reference it (its resources, a tracer's wrapper around one
    of its methods) are copied and reference the guarded client. A client that is already guarded is returned
    as it is or, if ``config`` is given, as a copy with that configuration.

    Args:
        client: Any client of the SDK, or of a subclass.
        config: The configuration; without one, the environment and the defaults.

    Raises:
        GuardConfigError: ``client`` isn't a client of the SDK, ``config`` is wrong, or something
            attached to ``client`` would make calls bypass the guard.
    """
    if isinstance(client, Guarded):
        return client if config is None else _reclassed(client, type(client), Binding(config))
    if not isinstance(client, (openai.OpenAI, openai.AsyncOpenAI)):
        raise GuardConfigError(
            f"guard(client) is {describe_type(client)}: an openai.OpenAI or openai.AsyncOpenAI is "
            "required, or a "
            "client of a subclass"
        )
    guarded = _reclassed(client, _guarded_class(type(client)), Binding(config))
    binding = guarded._finetune_guard  # noqa: SLF001 -- its other half
    if binding.answers is not None and binding.engine.config.enabled and not guarded.guard.active:
        log(
            logging.WARNING,
            "finetune-guard is inactive for this %s: the policy does not apply to %s. Calls go through "
            "unguarded.",
            type(client).__name__,
            client.base_url.host,
        )
    return guarded


_PUBLIC = (AzureOpenAI, AsyncAzureOpenAI, OpenAI, AsyncOpenAI)  # a class before its base

# Keys and values are weak: a guarded class references its base, so neither would ever be freed.
_guarded_classes: weakref.WeakKeyDictionary[type[Any], weakref.ref[type[Any]]] = weakref.WeakKeyDictionary()


def _guarded_class(cls: type[Any]) -> type[Any]:
    """The guarded subclass of ``cls``, with the same name, which the User-Agent contains."""
    public = next(each for each in _PUBLIC if issubclass(cls, each.__bases__[-1]))
    if public.__bases__[-1] is cls:
        return class_of_instances(public) or public
    reference = _guarded_classes.get(cls)
    known = reference() if reference is not None else None
    if known is None:
        namespace = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
        guarded_class: type[Any] = show_parent_parameters(type(cls.__name__, (public, cls), namespace))
        _guarded_classes[cls] = weakref.ref(guarded_class)
        return guarded_class
    return known


def _reclassed(client: Any, cls: type[Any], binding: Binding) -> Any:
    """A shallow copy of ``client`` as an instance of ``cls``.

    A subclass's constructor can take anything, so none is called: all state is taken over as it is, except
    what references ``client``.
    """
    guarded = object.__new__(cls)  # assigning __class__ fails: two bases have another layout than one
    shared = (http_client(client), vars(client).get("_finetune_guard"))
    try:
        guarded.__dict__.update(rebound(client, guarded, shared))
    except NotCopyableError as error:
        raise GuardConfigError(
            f"guard(client) can't guard this {type(client).__name__}: {error}, and calls through it would go "
            "past the guard",
            remedy="Guard the client first, then wrap or instrument what guard() has returned.",
        ) from None
    guarded._finetune_guard = binding
    return guarded
