"""The settings of a guard: defaults < environment < constructor. All defaults are defined here."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from pydantic import PrivateAttr, SecretStr, TypeAdapter, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from finetune_guard.clock import system_clock
from finetune_guard.config.values import (
    Clock,
    Deployments,
    DurationOrNone,
    EventCallback,
    Hosts,
    IdlePolicies,
    KeepAliveOrNone,
    ModelDates,
    Policy,
    Secret,
    read_policies,
)
from finetune_guard.domain.errors import GuardConfigError, StoreError
from finetune_guard.domain.hosts import matches
from finetune_guard.domain.idle_policy import AZURE, IdlePolicy, in_force
from finetune_guard.domain.policy import OPENAI_SELF_SERVE
from finetune_guard.domain.text import without_secrets
from finetune_guard.domain.validation import Duration, describe_problems
from finetune_guard.rules.eligibility import REFUSAL_TTL
from finetune_guard.rules.enforcement import OnUnknown
from finetune_guard.rules.keep_alive import KeepAlive
from finetune_guard.stores.base import Store
from finetune_guard.stores.open import open_store

__all__ = ["ENVIRONMENT_PREFIX", "GuardConfig", "Origin", "read_policies", "variable"]

logger = logging.getLogger("finetune_guard")

ENVIRONMENT_PREFIX = "FINETUNE_GUARD_"

Origin = Literal["default", "environment", "constructor"]


class GuardConfig(BaseSettings):
    """The settings of a guard. Each field can also be set by ``FINETUNE_GUARD_<FIELD>``.

    Attributes:
        store: Where histories live: ``"disk"`` (the user's state folder), a folder, ``"memory"``
            (shared by the clients that share this configuration), the URL of a Redis or Valkey server,
            or a ``Store``. In a URL, the field shows user and password as ``***``.
        policy: The provider's rules; in the environment as JSON.
        hosts: More hosts that the policy applies to, such as a gateway's; with or without a port; in the
            environment separated by commas, or as a JSON list.
        policies: Your own rules about idle deployments, in addition to the built-in ones: ``IdlePolicy``
            objects, or a TOML or JSON file of them. One with the name of a built-in rule replaces that.
        deployments: Deployments (or models) that the rules of their host apply to, even if their responses
            don't show it; a name, or ``RESOURCE/NAME``; in the environment as ``hosts``.
        on_unknown: What happens to a job or an upload if the verdict is unknown: ``"raise"`` stops it,
            ``"warn"`` lets it through with a warning, ``"allow"`` without one. The closing date and a
            recent refusal by the API always stop it.
        refusal_ttl: How long jobs and uploads are stopped after the API has refused a job; in the
            environment a duration such as ``12h``.
        keep_alive: When to send a keep-alive inference before a job is created; None for never. In
            the environment ``on``, ``off``, a ``renew_within`` such as ``14d``, or JSON.
        admin_api_key: An admin key of the organization, only used to read its usage; by default the client's
            own, or ``OPENAI_ADMIN_KEY``, which are sent to the policy's own hosts only.
        warn_below_lifetime: Warn if a job's model would be shut down sooner than this; None for never. In the
            environment ``off`` or a duration such as ``90d``.
        min_model_lifetime: Stop a job whose model would be shut down sooner than this; None for never.
        warn_models: Which models cause a warning if they are used within 30 days of their shutdown:
            ``"fine-tuned"``, or ``"all"``, including base models.
        model_dates: Your own shutdown dates, by the id or alias of a model or of a base model (including its
            fine-tunes); None for a model without shutdown, as with dedicated capacity. They override the
            API's dates and the built-in ones. In the environment as JSON.
        check_uploads: Whether uploads for fine-tuning are stopped, too, if a job would be.
        enabled: False turns the guard off: it stops and records nothing, and wrong values of other settings
            have no effect.
        clock: Returns the current time, aware; in the environment as ``module:function``.
        on_event: Called with each ``Event``, one at a time, in its own thread: no call waits for it, and its
            first exception is logged. A thousand events can be queued; more are dropped. Closing a client,
            or the end of the program, waits up to two seconds for it. In the environment as
            ``module:function``.

    Raises:
        GuardConfigError: A value is not allowed; the message names the field, the value and what is allowed.
    """

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX,
        env_ignore_empty=True,
        frozen=True,
        extra="forbid",
        arbitrary_types_allowed=True,
        validate_default=False,
        protected_namespaces=(),  # before 2.10 pydantic warns about fields named model_...
    )

    store: str | os.PathLike[str] | Store = "disk"
    policy: Policy = OPENAI_SELF_SERVE
    hosts: Hosts = ()
    policies: IdlePolicies = ()
    deployments: Deployments = ()
    on_unknown: OnUnknown = "raise"
    refusal_ttl: Duration = REFUSAL_TTL
    keep_alive: KeepAliveOrNone = None
    admin_api_key: Secret = None
    warn_below_lifetime: DurationOrNone = timedelta(days=90)
    min_model_lifetime: DurationOrNone = None
    warn_models: Literal["fine-tuned", "all"] = "fine-tuned"
    model_dates: ModelDates = {}
    check_uploads: bool = True
    enabled: bool = True
    clock: Clock = system_clock
    on_event: EventCallback = None

    _constructed_with: frozenset[str] = PrivateAttr(default=frozenset())
    _ignored: dict[str, str] = PrivateAttr(default_factory=dict)
    _store_url: SecretStr | None = PrivateAttr(default=None)
    _opened: tuple[object, Store] | None = PrivateAttr(default=None)

    if not TYPE_CHECKING:

        def __init__(self, **values: Any) -> None:
            try:
                super().__init__(**values)
            except ValidationError as error:
                errors = _errors_by_field(error, values)
                if not _is_off(values) or not errors.keys() <= type(self).model_fields.keys():
                    raise GuardConfigError("\n".join(errors.values())) from None
                logger.info(
                    "finetune-guard is switched off; these wrong settings have no effect: %s",
                    "; ".join(errors.values()),
                )
                super().__init__(**{**values, **_defaults(errors)})
                self._ignored = errors
            self._constructed_with = frozenset(values)
            if isinstance(self.store, str) and self.store != without_secrets(self.store):
                self._store_url = SecretStr(self.store)
                self.__dict__["store"] = without_secrets(self.store)  # for vars() and model_dump()

    @classmethod
    def from_environment(cls) -> tuple[GuardConfig, dict[str, str]]:
        """Return the configuration from the environment, and its errors by field.

        A field with a wrong value has its default.
        """
        try:
            config = cls()
        except GuardConfigError as error:
            cause = error.__context__
            if not isinstance(cause, ValidationError):
                raise
            errors = _errors_by_field(cause, {})
            config = cls(**_defaults(errors))
            config._ignored, config._constructed_with = errors, frozenset()
        return config, dict(config._ignored)

    def guards(self, host: str, port: int | None) -> bool:
        """Whether the policy applies to ``host``: its own, or one of ``hosts`` without an idle policy."""
        return self.enabled and (
            self.is_policys_own(host, port)
            or (any(matches(each, host, port) for each in self.hosts) and not self.idle_policy(host, port))
        )

    def idle_policy(self, host: str, port: int | None, *, is_azure: bool = False) -> IdlePolicy | None:
        """Return the rule about idle deployments on ``host``; None if there is none.

        With ``is_azure``, for one of the SDK's Azure clients, a host without a rule counts as a gateway to
        Azure.
        """
        if not self.enabled or self.is_policys_own(host, port):
            return None
        for policy in self.idle_policies:
            if any(matches(each, host, port) for each in policy.hosts):
                return policy
        azure = (policy for policy in self.idle_policies if policy.name == AZURE)
        return next(azure, None) if is_azure else None

    @property
    def named_deployments(self) -> tuple[str, ...]:
        """The deployments named in ``deployments`` and ``keep_alive``."""
        kept_alive = self.keep_alive.deployments if self.keep_alive is not None else ()
        return (*self.deployments, *kept_alive)

    @property
    def idle_policies(self) -> tuple[IdlePolicy, ...]:
        """The rules about idle deployments: your own, then the built-in ones."""
        own = self.policies  # a file was read by the validator
        return in_force(() if isinstance(own, (str, os.PathLike)) else tuple(own))

    def is_policys_own(self, host: str, port: int | None) -> bool:
        """Whether ``host`` is one of the policy's own hosts, not just one of ``hosts``."""
        return any(matches(each, host, port) for each in self.policy.hosts)

    @field_validator("store", mode="before")
    @classmethod
    def _check_store(cls, store: object) -> object:
        if not isinstance(store, (str, os.PathLike, Store)):
            raise ValueError('"disk", "memory", a folder, a URL or a Store is required')  # noqa: TRY004 -- for pydantic
        try:
            open_store(store)
        except StoreError as error:
            raise ValueError(str(error)) from None
        return store

    @field_validator("keep_alive")
    @classmethod
    def _renewal_fits_the_window(cls, keep_alive: KeepAlive | None, info: ValidationInfo) -> KeepAlive | None:
        policy = info.data.get("policy")
        windows = [phase.window for phase in policy.phases if phase.window] if policy is not None else []
        if keep_alive is not None and windows and keep_alive.renew_within >= min(windows):
            days = min(windows) / timedelta(days=1)
            raise ValueError(f"renew_within must be shorter than the policy's window of {days:g} days")
        return keep_alive

    def __hash__(self) -> int:
        return hash(tuple(value for name, value in self if name != "model_dates"))  # not hashable

    def open_store(self) -> Store:
        """Return the store of this configuration, the same object on every call."""
        if self._opened is None or self._opened[0] != self.store:  # a copy can have another one
            url = self._store_url.get_secret_value() if self._store_url is not None else ""
            location = url if url and self.store == without_secrets(url) else self.store
            self._opened = self.store, open_store(location)
        return self._opened[1]

    def origins(self) -> dict[str, Origin]:
        """Return the origin of each field's value."""
        origins: dict[str, Origin] = dict.fromkeys(type(self).model_fields, "default")
        origins |= dict.fromkeys(self.model_fields_set, "environment")
        origins |= dict.fromkeys(self._constructed_with, "constructor")
        return origins | dict.fromkeys(self._ignored, "default")


def variable(field: str) -> str:
    """Return the environment variable of a field."""
    return ENVIRONMENT_PREFIX + field.upper()


def _errors_by_field(error: ValidationError, arguments: Mapping[str, object]) -> dict[str, str]:
    """Return the errors by field; a value that is not in ``arguments`` came from the environment."""
    fields = GuardConfig.model_fields
    variables = {name: variable(name) for name in fields if name not in arguments}
    return describe_problems(
        "GuardConfig", error, fields=fields, variables=variables, secrets=("admin_api_key",)
    )


def _defaults(fields: Iterable[str]) -> dict[str, Any]:
    return {name: GuardConfig.model_fields[name].default for name in fields}


def _is_off(arguments: Mapping[str, object]) -> bool:
    """Whether ``enabled`` is false, even if other values are wrong."""
    names = {name.upper(): name for name in os.environ}
    value = arguments.get("enabled", os.environ.get(names.get(variable("enabled"), ""), "true"))
    try:
        return not TypeAdapter(bool).validate_python(value)
    except ValidationError:
        return False
