"""How a guard is configured: defaults < environment < constructor. Every default stands here, once."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ImportString,
    PrivateAttr,
    SecretStr,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from finetune_guard.clock import system_clock
from finetune_guard.domain.durations import Duration
from finetune_guard.domain.errors import StoreError
from finetune_guard.domain.hosts import is_pattern
from finetune_guard.domain.policy import OPENAI_SELF_SERVE, AccessPolicy
from finetune_guard.domain.validation import config_error, shown, without_secrets
from finetune_guard.rules.keep_alive import KeepAlive
from finetune_guard.stores.base import Store
from finetune_guard.stores.open import open_store

ENVIRONMENT_PREFIX = "FINETUNE_GUARD_"

Origin = Literal["default", "environment", "constructor"]


def _switch(value: object) -> object:
    """``on``, ``off``, a duration or JSON, as written in the environment, for a KeepAlive."""
    if value is not None and not isinstance(value, (str, Mapping, KeepAlive)):
        raise ValueError('a KeepAlive, "on", "off" or a renew_within such as "14d" is required')
    if not isinstance(value, str):
        return value
    written = value.strip()
    if written.lower() in ("on", "true", "1", "yes"):
        return KeepAlive()
    if written.lower() in ("off", "false", "0", "no", "none"):
        return None
    return _json(written) if written.startswith("{") else {"renew_within": written}


def _none(value: object) -> object:
    """``off``, as written in the environment, for None."""
    return None if isinstance(value, str) and value.strip().lower() in ("off", "none", "") else value


def _secret(value: object) -> object:
    """Text that is never shown."""
    if isinstance(value, str) and value:
        return SecretStr(value)
    if value is None or (isinstance(value, SecretStr) and len(value) > 0):
        return value
    raise ValueError("text is required")


def _json(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (RecursionError, ValueError):
        raise ValueError("valid JSON is required") from None


def _imported(value: object, read: ValidatorFunctionWrapHandler) -> object:
    """Let a module fail in whatever way while it is imported."""
    try:
        return read(value)
    except ValidationError:
        raise
    except Exception as error:  # noqa: BLE001 -- a module can fail in any way
        raise ValueError(f"a function that can be imported is required: {error!r}") from None


def _listed(value: object) -> object:
    """Hosts separated by commas, or a sequence of them."""
    if isinstance(value, str):
        return tuple(host.strip() for host in value.split(",") if host.strip())
    return value


def _hosts(hosts: Sequence[str]) -> tuple[str, ...]:
    for host in hosts:
        if not is_pattern(host):
            raise ValueError(
                f"{shown(host)} is no host: a name, *. before one, or an address is required, with or "
                "without a port, such as gateway.acme.com or 127.0.0.1:8400"
            )
    return tuple(hosts)


class GuardConfig(BaseSettings):
    """How a guard works. Each field can also be set by ``FINETUNE_GUARD_<FIELD>``.

    Attributes:
        store: Where histories live: ``"disk"`` (the user's state folder), a folder, ``"memory"``
            (shared by the clients that share this configuration), the URL of a Redis or Valkey server,
            or a ``Store``.
        policy: The provider's rules; in the environment as JSON.
        hosts: Hosts beyond the policy's own behind which it holds too, such as a gateway's; with or
            without a port; in the environment separated by commas.
        on_unknown: Whether a job whose eligibility can't be known is stopped or left to the API.
        keep_alive: When a keep-alive inference is sent before a job is created; None for never. In
            the environment ``on``, ``off``, a ``renew_within`` such as ``14d``, or JSON.
        admin_api_key: An admin key of the organization, with which its usage is read; by default the
            client's own, or that of ``OPENAI_ADMIN_KEY``. It is used for nothing else.
        warn_below_lifetime: Warn when a job's model would live less than this; None for never. In the
            environment ``off`` or a duration such as ``90d``.
        min_model_lifetime: Stop a job whose model would live less than this; None for never.
        check_uploads: Whether uploads for fine-tuning are stopped as well when no job could follow.
        enabled: False leaves every call alone and records nothing.
        clock: Returns the current time, aware; in the environment as ``module:function``.

    Raises:
        GuardConfigError: A value is not allowed; it names the field, the value and what is.
    """

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX,
        env_ignore_empty=True,
        frozen=True,
        extra="forbid",
        arbitrary_types_allowed=True,
        validate_default=False,
    )

    store: str | os.PathLike[str] | Store = "disk"
    policy: Annotated[AccessPolicy, NoDecode, BeforeValidator(_json)] = OPENAI_SELF_SERVE
    hosts: Annotated[Sequence[str], NoDecode, BeforeValidator(_listed), AfterValidator(_hosts)] = ()
    on_unknown: Literal["raise", "allow"] = "raise"
    keep_alive: Annotated[KeepAlive | None, NoDecode, BeforeValidator(_switch)] = None
    admin_api_key: Annotated[str | SecretStr | None, BeforeValidator(_secret), Field(repr=False)] = None
    warn_below_lifetime: Annotated[Duration | None, NoDecode, BeforeValidator(_none)] = timedelta(days=90)
    min_model_lifetime: Annotated[Duration | None, NoDecode, BeforeValidator(_none)] = None
    check_uploads: bool = True
    enabled: bool = True
    clock: Annotated[
        ImportString[Callable[[], Any]], NoDecode, WrapValidator(_imported), Field(repr=False)
    ] = system_clock

    _constructed_with: frozenset[str] = PrivateAttr(default=frozenset())
    _opened: Store | None = PrivateAttr(default=None)

    if not TYPE_CHECKING:

        def __init__(self, **values: Any) -> None:
            try:
                super().__init__(**values)
            except ValidationError as error:
                variables = {name: variable(name) for name in type(self).model_fields if name not in values}
                raise config_error(
                    "GuardConfig",
                    error,
                    fields=type(self).model_fields,
                    variables=variables,
                    secrets=("admin_api_key",),
                ) from None
            self._constructed_with = frozenset(values)

    @field_validator("store", mode="before")
    @classmethod
    def _store_is_one(cls, store: object) -> object:
        if not isinstance(store, (str, os.PathLike, Store)):
            raise ValueError('"disk", "memory", a folder, a URL or a Store is required')  # noqa: TRY004 -- for pydantic
        try:
            open_store(store)
        except (StoreError, OSError) as error:  # a relative folder needs a working folder that exists
            raise ValueError(str(error)) from None
        return store

    @field_validator("keep_alive")
    @classmethod
    def _renewal_fits_the_window(cls, keep_alive: KeepAlive | None, info: ValidationInfo) -> KeepAlive | None:
        policy = info.data.get("policy")
        window = policy.window if policy is not None else None
        if keep_alive is not None and window is not None and keep_alive.renew_within >= window:
            raise ValueError(f"renew_within must be shorter than the policy's window of {window.days} days")
        return keep_alive

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            secret = name == "store" and isinstance(value, str)
            yield name, without_secrets(value) if secret else value

    def open_store(self) -> Store:
        """Return the store that ``store`` names, the same one at every call."""
        if self._opened is None:
            self._opened = open_store(self.store)
        return self._opened

    def origins(self) -> dict[str, Origin]:
        """Return, for each field, where its value came from."""
        return {
            name: "constructor"
            if name in self._constructed_with
            else "environment"
            if name in self.model_fields_set
            else "default"
            for name in type(self).model_fields
        }


def variable(field: str) -> str:
    """Return the environment variable of a field."""
    return ENVIRONMENT_PREFIX + field.upper()
