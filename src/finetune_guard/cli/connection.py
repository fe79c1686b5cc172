"""The guarded client that commands use, made from the environment."""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime

import openai

from finetune_guard.cli.exits import SetupError
from finetune_guard.client.classes import AzureOpenAI, OpenAI
from finetune_guard.client.guard_api import ClientGuard
from finetune_guard.config import GuardConfig, variable
from finetune_guard.domain.catalog import published_catalog
from finetune_guard.domain.errors import StoreError
from finetune_guard.domain.facts import ModelLimits
from finetune_guard.domain.history import Evidence, History
from finetune_guard.domain.organizations import UNNAMED
from finetune_guard.domain.shutdowns import ShutdownDates
from finetune_guard.domain.verdict import Eligibility, Reason
from finetune_guard.engine.shutdowns import installed_table
from finetune_guard.openai_api.listing import Listing
from finetune_guard.rules.deployments import Deployment
from finetune_guard.rules.inventory import Inventory, build_inventory

OPENED = ExitStack()
"""Closes the clients that ``connect`` has made, so that what they learnt is stored."""

AZURE_KEYS = ("AZURE_OPENAI_API_KEY", "AZURE_OPENAI_AD_TOKEN")
_AZURE_VERSION = "2024-10-21"
_NO_AZURE_KEY = f"No API key. Set {' or '.join(AZURE_KEYS)}, as for any program that uses the Azure client."
_NO_KEY = (
    "No API key. Set OPENAI_API_KEY to a key of the organization; OPENAI_BASE_URL and OPENAI_ORG_ID count "
    "as well, as for any program that uses the OpenAI client."
)


@dataclass(frozen=True)
class Connection:
    """A client from the environment, and the configuration of its guard."""

    client: OpenAI
    config: GuardConfig

    @property
    def guard(self) -> ClientGuard:
        """The guard of the client."""
        return self.client.guard

    @property
    def host(self) -> str:
        """The host that calls go to, with the port where the URL names one; empty when it names none."""
        url = self.client.base_url
        return f"{url.host}:{url.port}" if url.port is not None else url.host

    @property
    def covers_jobs(self) -> bool:
        """Whether to report on job creation: False if only idle deployments are covered by a rule."""
        return self.guard.guards_jobs or not self.guard.active

    @property
    def inactive_because(self) -> str | None:
        """Why the guard is not active for this host, and what to set; None when it is active."""
        if self.guard.guards_jobs:
            return None
        if self.guard.active:
            return f"{self.host} has no rule about creating jobs: see finetune-guard deployments."
        if not self.config.enabled:
            return f"The guard is switched off: unset {variable('enabled')}, or set it to true."
        if not self.host:
            return "OPENAI_BASE_URL names no host: a URL such as https://api.openai.com/v1 is required."
        named = ",".join((*self.config.hosts, self.host))
        return f"If the policy holds behind {self.host}, name it: {variable('hosts')}={named}"

    @property
    def forgets(self) -> str | None:
        """A note that the history is in memory only; None when it is kept."""
        if self.config.store != "memory":
            return None
        return (
            f"{variable('store')} is memory: a history ends with the program that made it, and this command "
            "can't see those of other programs."
        )

    def must_guard_jobs(self, refused: str) -> Connection:
        """Return self; raise if the policy on job creation does not apply to this host."""
        if self.inactive_because is not None:
            raise SetupError(f"{refused} {self.host}. {self.inactive_because}")
        return self

    def must_be_active(self, refused: str) -> Connection:
        """Return self if a rule about jobs or idle deployments applies to this host; otherwise raise."""
        return self if self.guard.active else self.must_guard_jobs(refused)

    def history(self, eligibility: Eligibility) -> History:
        """Return the stored history, or an empty one if it can't be read."""
        if eligibility.reason not in (Reason.HISTORY_UNAVAILABLE, Reason.NOT_GUARDED):
            with suppress(StoreError):  # it was readable a moment ago, and what could be read is shown
                return self.guard.history()
        return History(evidence=Evidence(organization=UNNAMED))

    def models_of(self, history: History, now: datetime) -> Inventory:
        """Return the models in a history, without asking the API."""
        return build_inventory(Listing(), history, self.dates(), now)

    def deployments(self) -> tuple[Deployment, ...]:
        """Return all known deployments, or none if the history can't be read."""
        try:
            return self.guard.deployments(everywhere=True)
        except StoreError:  # the commands that need the store say so
            return ()

    def model_limits(self, *, refresh: bool) -> ModelLimits | None:
        """Ask the API for the organization's limits; None without ``refresh``, or on other hosts."""
        return self.guard.model_limits() if refresh and self.guard.guards_jobs else None

    def dates(self) -> ShutdownDates:
        """Return the known shutdown dates, without asking the API."""
        dates = ShutdownDates(
            published_catalog(), litellm=installed_table(), configured=self.config.model_dates
        )
        try:
            return dates.with_announced(self.config.open_store().announced())
        except StoreError:  # the commands that need the store say so
            return dates


def connect(
    config: GuardConfig | None = None, *, needs_key: bool = True, prefers_azure: bool = False
) -> Connection:
    """Return a connection as ``finetune_guard.OpenAI()`` makes it from the environment.

    Azure's client is made where there is no OPENAI_API_KEY, or with ``prefers_azure``. A client that needs no
    key gets a placeholder for one.

    Raises:
        SetupError: No key is set, or the SDK finds something else wrong in the environment.
        GuardConfigError: A ``FINETUNE_GUARD_`` variable has a wrong value.
    """
    config = config if config is not None else GuardConfig()
    is_azure = (prefers_azure or not is_set("OPENAI_API_KEY")) and is_set("AZURE_OPENAI_ENDPOINT")
    has_key = any(map(is_set, AZURE_KEYS if is_azure else ("OPENAI_API_KEY",)))
    if needs_key and not has_key:
        raise SetupError(_NO_AZURE_KEY if is_azure else _NO_KEY)
    key = None if has_key else "not set"
    try:
        if is_azure:
            version = os.environ.get("OPENAI_API_VERSION") or _AZURE_VERSION
            client: OpenAI = AzureOpenAI(guard=config, api_version=version, api_key=key)
        else:
            client = OpenAI(guard=config, api_key=key)
    except openai.OpenAIError as error:
        raise SetupError(f"The OpenAI client can't be made from the environment: {error}") from error
    except Exception as error:  # its wording may show a password, and its class depends on the SDK's release
        raise SetupError(
            "The OpenAI client can't be made from the environment: look at OPENAI_BASE_URL and the other "
            "OPENAI_ variables."
        ) from error
    OPENED.callback(client.close)
    return Connection(client, config)


def is_set(name: str) -> bool:
    """Whether an environment variable has a value that is not blank."""
    return bool(os.environ.get(name, "").strip())
