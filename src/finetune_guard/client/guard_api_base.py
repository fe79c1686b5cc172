"""What all methods of ``client.guard`` are made of: operations that are written once for sync and async."""
# ruff: noqa: SLF001 -- the client and its guard are two halves of one thing

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
    """What ``client.guard`` of a sync and of an async client have in common."""

    def __init__(self, client: Guarded) -> None:
        self._client = client

    @property
    def active(self) -> bool:
        """Whether a rule is known to hold behind this client's host: about jobs or idle deployments."""
        return self.guards_jobs or self._client._guard_resource() is not None

    @property
    def guards_jobs(self) -> bool:
        """Whether the policy about creating jobs holds behind this client's host."""
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
                f"{method}() asks the API that the policy speaks of, and this client speaks to another host "
                "or its guard is switched off. If the policy holds there, name the host in "
                "GuardConfig(hosts=...)."
            )


class Awaited:
    """A base of what belongs to an async client: its operations are coroutines."""


class Operation(Generic[_P, T]):
    """A method of ``Facade`` that is to be awaited if its class is ``Awaited`` as well.

    What is decorated is written once: a flow, or a function that may block. An async client runs either in
    a worker thread. The key is asked for first where a function gives it.
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
                client._guard_learn_key()
            made = function(guard, *args, **options)
            return client._guard_drive(made) if is_flow else made

        @functools.wraps(function)
        async def run_async(guard: Any, /, *args: Any, **options: Any) -> Any:
            client = guard._client
            if needs_key:
                await client._guard_learn_key()
            if is_flow:
                return await client._guard_drive(function(guard, *args, **options))
            return await in_thread(functools.partial(function, guard, *args, **options))

        if is_flow:  # what ``help`` shows to be returned is what the flow comes to
            shown = inspect.signature(function)
            returned = str(shown.return_annotation).removeprefix("Flow[").removesuffix("]")
            for each in list[Any]((run, run_async)):
                each.__signature__ = shown.replace(return_annotation=returned)
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
    """An operation that is not about the client's key."""

    _needs_key = False
