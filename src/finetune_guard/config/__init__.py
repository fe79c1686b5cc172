"""The settings of a guard: defaults < environment < constructor. Every default stands here, once."""

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
    """How a guard works. Each field can also be set by ``FINETUNE_GUARD_<FIELD>``.

    Attributes:
        store: Where histories live: ``"disk"`` (the user's state folder), a folder, ``"memory"``
            (shared by the clients that share this configuration), the URL of a Redis or Valkey server,
            or a ``Store``. Of a URL the field holds what may be shown: ``***`` for user and password.
        policy: The provider's rules; in the environment as JSON.
        hosts: Hosts beyond the policy's own behind which it holds too, such as a gateway's; with or
            without a port; in the environment separated by commas, or as a JSON list.
        policies: Rules of one's own about deployments that nobody calls, beside those that ship with the
            package: ``IdlePolicy`` objects, or a TOML or JSON file of them. One with the name of a shipped
            rule takes its place.
        deployments: Deployments (or models) that the rules of their host speak of, though their answers may
            not show it; a name, or ``RESOURCE/NAME``; in the environment as ``hosts``.
        on_unknown: What happens to a job or an upload where only the API can tell: ``"raise"`` stops it,
            ``"warn"`` lets it through with a warning, ``"allow"`` in silence. The closing date and the API's
            own recent refusal stop it in any case.
        refusal_ttl: How long a refusal of the API stops jobs and uploads without asking again; in the
            environment a duration such as ``12h``.
        keep_alive: When a keep-alive inference is sent before a job is created; None for never. In
            the environment ``on``, ``off``, a ``renew_within`` such as ``14d``, or JSON.
        admin_api_key: An admin key of the organization, used for nothing but to read its usage; by default
            the client's own, or that of ``OPENAI_ADMIN_KEY``, which are sent to the policy's own hosts only.
        warn_below_lifetime: Warn when a job's model would live less than this; None for never. In the
            environment ``off`` or a duration such as ``90d``.
        min_model_lifetime: Stop a job whose model would live less than this; None for never.
        warn_models: Of which models in use that end within 30 days is warned: ``"fine-tuned"``, or
            ``"all"``, base models too.
        model_dates: When models end for you, by the id of a model, of a base model (which holds for its
            fine-tunes too), or the alias of one; None for one that has no end, as with dedicated capacity.
            They count before what the API and the tables say. In the environment as JSON.
        check_uploads: Whether uploads for fine-tuning are stopped as well when a job would be.
        enabled: False leaves every call alone and records nothing. Wrong values of other settings then
            have no effect, whether they come from the environment or the constructor.
        clock: Returns the current time, aware; in the environment as ``module:function``.
        on_event: Called with each ``Event``, one after the other, in a thread of its own: no call waits for
            it, and what it raises is logged once. A thousand events may wait for it; later ones are lost.
            When a client is closed, and at the end of the program, it has two seconds. In the environment as
            ``module:function``.

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
        protected_namespaces=(),  # before 2.10 pydantic warns of fields that are called model_...
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
                wrong = _wrong(error, values)
                if not _is_off(values) or not wrong.keys() <= type(self).model_fields.keys():
                    raise GuardConfigError("\n".join(wrong.values())) from None
                logger.info(
                    "finetune-guard is switched off; wrong, but without effect: %s", "; ".join(wrong.values())
                )
                super().__init__(**{**values, **_defaults(wrong)})
                self._ignored = wrong
            self._constructed_with = frozenset(values)
            if isinstance(self.store, str) and self.store != without_secrets(self.store):
                self._store_url = SecretStr(self.store)
                self.__dict__["store"] = without_secrets(self.store)  # what vars() and model_dump() show

    @classmethod
    def from_environment(cls) -> tuple[GuardConfig, dict[str, str]]:
        """Return the configuration that the environment makes, and what is wrong in it, by field.

        A field whose value is wrong has its default.
        """
        try:
            config = cls()
        except GuardConfigError as error:
            found = error.__context__
            if not isinstance(found, ValidationError):
                raise
            wrong = _wrong(found, {})
            config = cls(**_defaults(wrong))
            config._ignored, config._constructed_with = wrong, frozenset()
        return config, dict(config._ignored)

    def guards(self, host: str, port: int | None) -> bool:
        """Whether the policy holds behind ``host``: its own, or one of ``hosts`` without an idle policy."""
        return self.enabled and (
            self.is_policys_own(host, port)
            or (any(matches(each, host, port) for each in self.hosts) and not self.idle_policy(host, port))
        )

    def idle_policy(self, host: str, port: int | None, *, is_azure: bool = False) -> IdlePolicy | None:
        """Return the rule about what nobody calls behind ``host``; None where there is none.

        A host that no rule names is taken for a gateway before Azure where ``is_azure`` tells that one of the
        SDK's Azure clients calls it.
        """
        if not self.enabled or self.is_policys_own(host, port):
            return None
        for policy in self.idle_policies:
            if any(matches(each, host, port) for each in policy.hosts):
                return policy
        named = (policy for policy in self.idle_policies if policy.name == AZURE)
        return next(named, None) if is_azure else None

    @property
    def named_deployments(self) -> tuple[str, ...]:
        """The deployments that are named, as covered by a rule or to be kept alive."""
        kept = self.keep_alive.deployments if self.keep_alive is not None else ()
        return (*self.deployments, *kept)

    @property
    def idle_policies(self) -> tuple[IdlePolicy, ...]:
        """The rules about what nobody calls: one's own, then those that ship with the package."""
        own = self.policies  # a file was read when this was made
        return in_force(() if isinstance(own, (str, os.PathLike)) else tuple(own))

    def is_policys_own(self, host: str, port: int | None) -> bool:
        """Whether the policy itself names ``host``, and not ``hosts`` alone."""
        return any(matches(each, host, port) for each in self.policy.hosts)

    @field_validator("store", mode="before")
    @classmethod
    def _store_is_one(cls, store: object) -> object:
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
        return hash(tuple(value for name, value in self if name != "model_dates"))  # a mapping has no hash

    def open_store(self) -> Store:
        """Return the store that ``store`` names, the same one at every call."""
        if self._opened is None or self._opened[0] != self.store:  # a copy may name another one
            url = self._store_url.get_secret_value() if self._store_url is not None else ""
            whole = url if url and self.store == without_secrets(url) else self.store
            self._opened = self.store, open_store(whole)
        return self._opened[1]

    def origins(self) -> dict[str, Origin]:
        """Return, for each field, where the value that counts came from."""
        origins: dict[str, Origin] = dict.fromkeys(type(self).model_fields, "default")
        origins |= dict.fromkeys(self.model_fields_set, "environment")
        origins |= dict.fromkeys(self._constructed_with, "constructor")
        return origins | dict.fromkeys(self._ignored, "default")


def variable(field: str) -> str:
    """Return the environment variable of a field."""
    return ENVIRONMENT_PREFIX + field.upper()


def _wrong(error: ValidationError, given: Mapping[str, object]) -> dict[str, str]:
    """Return what is wrong, by field; what was not ``given`` came from the environment."""
    fields = GuardConfig.model_fields
    variables = {name: variable(name) for name in fields if name not in given}
    return describe_problems(
        "GuardConfig", error, fields=fields, variables=variables, secrets=("admin_api_key",)
    )


def _defaults(fields: Iterable[str]) -> dict[str, Any]:
    return {name: GuardConfig.model_fields[name].default for name in fields}


def _is_off(given: Mapping[str, object]) -> bool:
    """Whether ``enabled`` is false, whatever else is wrong."""
    names = {name.upper(): name for name in os.environ}
    value = given.get("enabled", os.environ.get(names.get(variable("enabled"), ""), "true"))
    try:
        return not TypeAdapter(bool).validate_python(value)
    except ValidationError:
        return False
