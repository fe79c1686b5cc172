"""A guard for a client that exists already, of whatever class."""

from __future__ import annotations

import copy
import logging
import weakref
from typing import TYPE_CHECKING, Any, TypeVar

from openai._base_client import AsyncAPIClient, SyncAPIClient
from openai._resource import AsyncAPIResource, SyncAPIResource

from finetune_guard.attachment import Attachment
from finetune_guard.errors import GuardConfigError
from finetune_guard.guarded import AsyncGuarded, Guarded, SyncGuarded
from finetune_guard.validation import shown

if TYPE_CHECKING:
    from finetune_guard.config import GuardConfig

logger = logging.getLogger("finetune_guard")

_Client = TypeVar("_Client", bound="SyncAPIClient | AsyncAPIClient")


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
        return _reclassed(client, type(client), Attachment(config))
    if not isinstance(client, (SyncAPIClient, AsyncAPIClient)):
        raise GuardConfigError(
            f"guard(client) is {shown(client)}: an openai.OpenAI or openai.AsyncOpenAI is required, or a "
            "client of a subclass"
        )
    guarded = _reclassed(client, _guarded_class(type(client)), Attachment(config))
    if not guarded._guard_is_active():  # noqa: SLF001 -- its other half
        logger.warning(
            "finetune-guard is inactive for this %s: the policy doesn't speak of %s. Calls go through "
            "unguarded.",
            type(client).__name__,
            client.base_url.host,
        )
    return guarded  # type: ignore[no-any-return]


_guarded_classes: weakref.WeakKeyDictionary[type[Any], type[Any]] = weakref.WeakKeyDictionary()


def _guarded_class(cls: type[Any]) -> type[Any]:
    """The guarded subclass of ``cls``: of the same name, since the User-Agent is made of it."""
    known = _guarded_classes.get(cls)
    if known is None:
        door = SyncGuarded if issubclass(cls, SyncAPIClient) else AsyncGuarded
        namespace = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
        known = _guarded_classes[cls] = type(cls.__name__, (door, cls), namespace)
    return known


def _reclassed(client: Any, cls: type[Any], attachment: Attachment) -> Any:
    """A shallow copy of ``client`` as an instance of ``cls``.

    A subclass's constructor can take anything, so none is called: all state is carried over as it is,
    but for the resources, which must speak through the copy.
    """
    guarded = copy.copy(client)
    guarded.__class__ = cls
    for name, value in list(vars(guarded).items()):
        if isinstance(value, (SyncAPIResource, AsyncAPIResource)) or name.startswith(
            ("with_raw_", "with_streaming_")
        ):
            del guarded.__dict__[name]  # a cached property makes it anew
            if not hasattr(type(guarded), name):
                setattr(guarded, name, type(value)(guarded))
    guarded._finetune_guard = attachment  # noqa: SLF001 -- its other half
    return guarded
