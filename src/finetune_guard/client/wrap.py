"""A guard for a client that exists already, of whatever class."""

from __future__ import annotations

import logging
import weakref
from typing import TYPE_CHECKING, Any, TypeVar

from openai._resource import AsyncAPIResource, SyncAPIResource

from finetune_guard.client.binding import Binding
from finetune_guard.client.mixins import AsyncGuarded, Guarded, SyncGuarded
from finetune_guard.client.sdk_compat import AsyncAPIClient, SyncAPIClient
from finetune_guard.domain.errors import GuardConfigError
from finetune_guard.domain.validation import kind_of

if TYPE_CHECKING:
    from finetune_guard.config import GuardConfig

logger = logging.getLogger("finetune_guard")

_Client = TypeVar("_Client", bound="SyncAPIClient | AsyncAPIClient")

_DOORS = ("request", "_process_response", "copy", "with_options", "close")


def guard(client: _Client, config: GuardConfig | None = None) -> _Client:
    """Return a guarded client of the same class as ``client``, which shares its HTTP client.

    ``client`` itself is not touched. A client that is guarded already is returned as it is, unless
    ``config`` is given: then a copy with that configuration is.

    Args:
        client: Any client of the SDK, or of a subclass.
        config: How the guard works; without one the environment and the defaults hold.

    Raises:
        GuardConfigError: ``client`` isn't a client of the SDK, or ``config`` is wrong.
    """
    if isinstance(client, Guarded):
        if config is None:
            return client
        return _reclassed(client, type(client), Binding(config))
    if not isinstance(client, (SyncAPIClient, AsyncAPIClient)):
        raise GuardConfigError(
            f"guard(client) is {kind_of(client)}: an openai.OpenAI or openai.AsyncOpenAI is required, or a "
            "client of a subclass"
        )
    guarded = _reclassed(client, _guarded_class(type(client)), Binding(config))
    theirs = guarded._finetune_guard  # noqa: SLF001 -- its other half
    if not theirs.is_broken and theirs.engine.config.enabled and not guarded._guard_is_active():  # noqa: SLF001 -- too
        logger.warning(
            "finetune-guard is inactive for this %s: the policy doesn't speak of %s. Calls go through "
            "unguarded.",
            type(client).__name__,
            client.base_url.host,
        )
    return guarded  # type: ignore[no-any-return]


# Both ends are weak: a guarded class holds its base, so a strong one would keep both for ever.
_guarded_classes: weakref.WeakKeyDictionary[type[Any], weakref.ref[type[Any]]] = weakref.WeakKeyDictionary()


def _guarded_class(cls: type[Any]) -> type[Any]:
    """The guarded subclass of ``cls``: of the same name, since the User-Agent is made of it."""
    reference = _guarded_classes.get(cls)
    known = reference() if reference is not None else None
    if known is None:
        door = SyncGuarded if issubclass(cls, SyncAPIClient) else AsyncGuarded
        namespace = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
        known = type(cls.__name__, (door, cls), namespace)
        _guarded_classes[cls] = weakref.ref(known)
    return known


def _reclassed(client: Any, cls: type[Any], attachment: Binding) -> Any:
    """A shallow copy of ``client`` as an instance of ``cls``.

    A subclass's constructor can take anything, so none is called: all state is carried over as it is,
    but for the resources, which must speak through the copy.
    """
    guarded = object.__new__(cls)  # not by assigning __class__: two bases are another layout than one
    guarded.__dict__.update(vars(client))
    for name, value in vars(client).items():
        if isinstance(value, (SyncAPIResource, AsyncAPIResource)) or name.startswith(
            ("with_raw_", "with_streaming_")
        ):
            del guarded.__dict__[name]  # a cached property makes it anew
            if not hasattr(type(guarded), name):
                setattr(guarded, name, type(value)(guarded))
    _open_doors(guarded)
    guarded._finetune_guard = attachment
    return guarded


def _open_doors(guarded: Any) -> None:
    """Remove what was put in the place of a door, since it leads through the client that was copied.

    So do tools that instrument one client by replacing its ``request``.
    """
    walled_up = [name for name in vars(guarded) if name in _DOORS]
    for name in walled_up:
        del guarded.__dict__[name]
    if walled_up:
        logger.warning(
            "%s of this %s had been replaced, by an instrumentation perhaps; the guarded client has the "
            "class's own. Guard a client before it is instrumented, not after.",
            " and ".join(walled_up),
            type(guarded).__name__,
        )
