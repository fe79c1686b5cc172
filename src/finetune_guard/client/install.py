"""``install()``: guard every client of the SDK in this process, whoever creates it.

The SDK's classes stay the same objects. Some of their methods are wrapped in place, so that existing
clients, subclasses and the module-level ``openai.chat`` are guarded as well. Each client gets a ``_View``,
which does for it what the guarded classes do around a call.
"""

from __future__ import annotations

import functools
import inspect
import logging
import threading
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import openai

from finetune_guard.client.binding import Binding
from finetune_guard.client.guarded import FLUSH_TIMEOUT, Guarded
from finetune_guard.client.mixins import AsyncGuarded, SyncGuarded
from finetune_guard.client.sdk_compat import WRAPPED_METHODS
from finetune_guard.domain.errors import GuardConfigError
from finetune_guard.logs import OnceLog, log
from finetune_guard.openai_api.flow import Reply

if TYPE_CHECKING:
    from typing_extensions import Self

    from finetune_guard.config import GuardConfig

_VIEW = "_finetune_guard_view"
"""The attribute of a client that holds its view."""

_MISSING = object()


class _View:
    """A client of the SDK's own class as the mixins see it: their ``super()`` is the SDK's own method."""

    def __init__(self, client: Any, installation: _Installation, binding: Binding) -> None:
        self._finetune_guard_client = client
        self._finetune_guard_installation = installation
        self._finetune_guard = binding
        self._finetune_guard_sdk = installation.originals[_flavour(client)]

    def request(self, cast_to: Any, options: Any, *args: Any, **kwargs: Any) -> Any:
        client = self._finetune_guard_client
        if cast_to is Reply:  # the guard's own request must pass through a subclass's method, too
            return type(client).request(client, cast_to, options, *args, **kwargs)
        return self._finetune_guard_sdk["request"](client, cast_to, options, *args, **kwargs)

    def _process_response(self, **kwargs: Any) -> Any:
        return self._finetune_guard_sdk["_process_response"](self._finetune_guard_client, **kwargs)

    def _prepare_options(self, options: Any) -> Any:
        return self._finetune_guard_sdk["_prepare_options"](self._finetune_guard_client, options)

    def close(self) -> Any:
        return self._finetune_guard_sdk["close"](self._finetune_guard_client)

    @property  # type: ignore[misc]  # it can't be assigned to
    def __class__(self) -> Any:
        """The client's class, so that ``isinstance`` recognizes Azure's clients."""
        return type(self._finetune_guard_client)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_finetune_guard"):
            raise AttributeError(name)
        return getattr(self._finetune_guard_client, name)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Leave the view out of copies and pickles of its client: each client gets its own."""
        return type(None), ()


class _SyncView(SyncGuarded, _View):  # type: ignore[misc] # a view passes on any arguments
    __init__ = _View.__init__


class _AsyncView(AsyncGuarded, _View):  # type: ignore[misc] # as above
    __init__ = _View.__init__


_VIEWS: dict[Any, Any] = {openai.OpenAI: _SyncView, openai.AsyncOpenAI: _AsyncView}


def _flavour(client: Any) -> Any:
    return openai.OpenAI if isinstance(client, openai.OpenAI) else openai.AsyncOpenAI


class _Installation:
    """The methods that one ``install()`` has replaced, and the views it has created."""

    def __init__(self, config: GuardConfig | None) -> None:
        self.config = config
        self.is_active = True
        self.originals: dict[Any, dict[str, Any]] = {}
        self._replaced: list[tuple[Any, str, Any, Any]] = []
        self._views: weakref.WeakSet[Any] = weakref.WeakSet()
        self._lock = threading.RLock()  # a signal handler may create a client meanwhile
        self._failures = OnceLog()

    def wrap(self) -> None:
        """Replace the SDK's methods with wrappers."""
        for cls in _VIEWS:
            self.originals[cls] = {name: getattr(cls, name) for name in WRAPPED_METHODS}
        for cls, originals in self.originals.items():
            copy = _wrap_copy(self, cls.copy)
            wrappers = {name: _wrap_method(self, name, originals[name]) for name in WRAPPED_METHODS}
            wrappers.update(copy=copy, with_options=copy, guard=_guard_property(self))
            for name, wrapper in wrappers.items():
                self._replaced.append((cls, name, vars(cls).get(name, _MISSING), wrapper))
                setattr(cls, name, wrapper)

    def unwrap(self) -> None:
        """Restore the SDK's methods, except those that others have replaced since, and flush."""
        self.is_active = False
        changed_by_others = []
        for cls, name, before, wrapper in self._replaced:
            if vars(cls).get(name) is not wrapper:
                changed_by_others.append(f"openai.{cls.__name__}.{name}")
            elif before is _MISSING:
                delattr(cls, name)
            else:
                setattr(cls, name, before)
        if changed_by_others:
            log(
                logging.WARNING,
                "finetune-guard is uninstalled, but something else has replaced %s since install(). That "
                "stays as it is, and calls go through it unguarded. To undo both, undo the later one first.",
                ", ".join(changed_by_others),
            )
        for view in list(self._views):
            binding = view._finetune_guard  # noqa: SLF001 -- its other half
            if binding.background is not None:
                binding.background.unregister(view)
            binding.flush(FLUSH_TIMEOUT)

    def view_of(self, client: Any) -> Any:
        """Return the view of ``client``; None if its calls are not guarded here. Never raises."""
        if not self.is_active or isinstance(client, Guarded):
            return None
        view = vars(client).get(_VIEW)
        if view is not None and self._belongs_to(view, client):
            return view
        try:
            with self._lock:
                view = vars(client).get(_VIEW)  # another thread may have created it
                if view is None or not self._belongs_to(view, client):
                    view = self.new_view(client, Binding(self.config))
                return view
        except Exception as error:  # noqa: BLE001 -- our failure must not be the user's
            self._failures.add(error)
            return None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        _uninstall(self)

    def _belongs_to(self, view: Any, client: Any) -> bool:
        return view._finetune_guard_client is client and view._finetune_guard_installation is self  # noqa: SLF001

    def new_view(self, client: Any, binding: Binding) -> Any:
        view = _VIEWS[_flavour(client)](client, self, binding)
        vars(client)[_VIEW] = view
        self._views.add(view)
        return view


_lock = threading.RLock()
_current: _Installation | None = None


def install(config: GuardConfig | None = None) -> AbstractContextManager[object]:
    """Guard every ``openai.OpenAI`` and ``openai.AsyncOpenAI`` of this process, whoever creates it.

    Existing clients, subclasses and the module-level ``openai.chat`` are guarded as well, and each has
    ``client.guard``. Azure's clients are guarded by Azure's rules. Installing twice is the same as once.

    Args:
        config: The configuration; without one each client reads the environment at its first call.

    Returns:
        A context manager that uninstalls at the end of its block, unless the guard was installed before.

    Raises:
        GuardConfigError: ``config`` is wrong, or the guard is installed with another one.
    """
    global _current  # noqa: PLW0603 -- the SDK's classes are there once in a process
    with _lock:
        if _current is not None:
            if config is not None and config is not _current.config:
                raise GuardConfigError(
                    "install(config) was called while the guard is installed with another configuration",
                    remedy="Call finetune_guard.uninstall() first.",
                )
            return nullcontext()
        Binding(config)  # so that a wrong value is raised here, not in a later call
        _current = _Installation(config)
        _current.wrap()
        return _current


def uninstall() -> None:
    """Undo ``install()``: restore the methods of the SDK's classes, and flush the history.

    A method that something else has replaced since then stays, unguarded, and that is logged. Does nothing
    without ``install()``.
    """
    _uninstall(_current)


def _uninstall(installation: _Installation | None) -> None:
    global _current  # noqa: PLW0603 -- as above
    with _lock:
        if installation is None or installation is not _current:
            return
        _current = None
        installation.unwrap()


def _wrap_method(installation: _Installation, name: str, original: Any) -> Any:
    """Return a wrapper of method ``name`` that calls it through the client's view."""

    def call_through_view(client: Any, arguments: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        is_own = name == "request" and kwargs.get("cast_to", arguments and arguments[0]) is Reply
        view = None if is_own else installation.view_of(client)
        if view is None:
            return original(client, *arguments, **kwargs)
        return getattr(view, name)(*arguments, **kwargs)

    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        return call_through_view(self, args, kwargs)

    async def async_wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        return await call_through_view(self, args, kwargs)

    return functools.wraps(original)(async_wrapper if inspect.iscoroutinefunction(original) else wrapper)


def _wrap_copy(installation: _Installation, original: Callable[..., Any]) -> Any:
    """Return a wrapper of ``copy`` whose new client shares the guard of the old one."""

    @functools.wraps(original)
    def copy(self: Any, *args: Any, **kwargs: Any) -> Any:
        new_client, view = original(self, *args, **kwargs), installation.view_of(self)
        if view is not None and not isinstance(new_client, Guarded):
            view._finetune_guard.notify_background(view)  # noqa: SLF001 -- its other half
            installation.new_view(new_client, view._finetune_guard)  # noqa: SLF001 -- too
        return new_client

    return copy


def _guard_property(installation: _Installation) -> property:
    def guard(self: Any) -> Any:
        """Methods about the organization's eligibility."""
        view = installation.view_of(self)
        if view is None:
            raise AttributeError("guard")
        return view.guard

    return property(guard)
