"""The base of ``client.guard``: operations that are written once for sync and async."""
# ruff: noqa: SLF001 -- the client and its guard share internals

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine
from types import MethodType
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, Generic, ParamSpec, overload

from finetune_guard.client.threads import in_thread
from finetune_guard.domain.errors import GuardConfigError
from finetune_guard.engine.guard import Guard
from finetune_guard.openai_api.flow import Flow, T

if TYPE_CHECKING:
    from finetune_guard.client.guarded import Guarded
    from finetune_guard.config import GuardConfig
    from finetune_guard.domain.organizations import Credentials

_P = ParamSpec("_P")


class Facade:
    """The base of ``client.guard`` for sync and async clients."""

    def __init__(self, client: Guarded) -> None:
        self._client = client

    @property
    def active(self) -> bool:
        """Whether a known rule, about jobs or idle deployments, applies to this client's host."""
        return self.guards_jobs or self._client._guard_resource() is not None

    @property
    def guards_jobs(self) -> bool:
        """Whether the policy about creating jobs applies to this client's host."""
        return self._client._guard_is_active()

    @property
    def config(self) -> GuardConfig:
        """The configuration in force.

        Raises:
            GuardConfigError: The environment holds a wrong value.
        """
        return self._engine.config

    @property
    def has_admin_key(self) -> bool:
        """Whether there is an admin key, with which ``sync`` can read the organization's usage."""
        return bool((self._client._guard_admin_key() or "").strip())

    @property
    def _engine(self) -> Guard:
        return self._client._finetune_guard.engine

    @property
    def _credentials(self) -> Credentials:
        return self._client._guard_credentials()

    def _must_be_active(self, method: str) -> None:
        if not self.guards_jobs:
            raise GuardConfigError(
                f"{method}() needs a host that the policy applies to, and this client calls another host or "
                "its guard is switched off. If the policy applies there, set GuardConfig(hosts=...)."
            )


class Awaited:
    """A marker base for async clients, whose operations are coroutines."""


class Operation(Generic[_P, T]):
    """A method of ``Facade``, which is a coroutine if its class is ``Awaited`` as well.

    It decorates a flow, or a function that may block. An async client runs either in a worker thread. If
    the client's key is a function, that is called first.
    """

    _needs_key: ClassVar = True

    @overload
    def __init__(self, function: Callable[Concatenate[Any, _P], Flow[T]]) -> None: ...
    @overload
    def __init__(self, function: Callable[Concatenate[Any, _P], T]) -> None: ...
    def __init__(self, function: Callable[..., Any]) -> None:
        is_flow, needs_key = inspect.isgeneratorfunction(function), self._needs_key

        @functools.wraps(function)
        def run(guard: Any, /, *args: Any, **options: Any) -> Any:
            client = guard._client
            if needs_key:
                client._guard_refresh_key()
            result = function(guard, *args, **options)
            return client._guard_drive(result) if is_flow else result

        @functools.wraps(function)
        async def run_async(guard: Any, /, *args: Any, **options: Any) -> Any:
            client = guard._client
            if needs_key:
                await client._guard_refresh_key()
            if is_flow:
                return await client._guard_drive(function(guard, *args, **options))
            return await in_thread(functools.partial(function, guard, *args, **options))

        if is_flow:  # ``help`` shows the flow's result as the return type
            original = inspect.signature(function)
            returned = str(original.return_annotation).removeprefix("Flow[").removesuffix("]")
            for method in list[Any]((run, run_async)):
                method.__signature__ = original.replace(return_annotation=returned)
        self._run, self._run_async = run, run_async

    @overload
    def __get__(self, guard: None, owner: object) -> Callable[Concatenate[Any, _P], Any]: ...
    @overload
    def __get__(self, guard: Awaited, owner: object) -> Callable[_P, Coroutine[Any, Any, T]]: ...
    @overload
    def __get__(self, guard: Facade, owner: object) -> Callable[_P, T]: ...
    def __get__(self, guard: object, owner: Any) -> Any:
        run = self._run_async if issubclass(owner, Awaited) else self._run
        return run if guard is None else MethodType(run, guard)


class LocalOperation(Operation[_P, T]):
    """An operation that does not need the client's key."""

    _needs_key = False
