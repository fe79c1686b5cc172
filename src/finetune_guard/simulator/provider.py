"""The provider behind the API: its organizations, its models, its policy, its time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from finetune_guard.models import FineTunedModel, ModelCatalog
from finetune_guard.policy import AccessPolicy
from finetune_guard.simulator.access import Rollover, may_create_jobs, takes_effect
from finetune_guard.simulator.answers import ApiError, model_deprecated, model_not_found
from finetune_guard.simulator.organizations import Account, Organization, random_id

UNDATED_MODELS = ("gpt-6-luna", "text-embedding-3-small", "text-embedding-3-large")
ALIASES = {
    "gpt-4o": "gpt-4o-2024-08-06",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "gpt-4.1": "gpt-4.1-2025-04-14",
    "gpt-4.1-mini": "gpt-4.1-mini-2025-04-14",
    "gpt-4.1-nano": "gpt-4.1-nano-2025-04-14",
    "o4-mini": "o4-mini-2025-04-16",
    "gpt-3.5-turbo": "gpt-3.5-turbo-0125",
}


@dataclass(frozen=True)
class Settings:
    """How the simulated provider behaves.

    Attributes:
        policy: The rules it enforces.
        catalog: Its base models with their shutdown dates.
        rollover: When a published date takes effect.
        job_duration: How long a fine-tuning job takes, in simulated time.
        fine_tunes_carry_shutdown_date: Whether ``GET /models`` tells the date of fine-tunes too.
    """

    policy: AccessPolicy
    catalog: ModelCatalog
    rollover: Rollover
    job_duration: timedelta
    fine_tunes_carry_shutdown_date: bool = False


@dataclass
class Provider:
    """Everything that the API knows. Whoever touches it from another thread holds ``lock``."""

    clock: Callable[[], datetime]
    settings: Settings
    accounts: dict[str, Account] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def open_account(self, slug: str, api_key: str, *, fine_tuned_before: bool) -> Account:
        """Add an organization.

        Raises:
            ValueError: The slug or the key is taken, or empty.
        """
        if not slug or not api_key:
            raise ValueError("slug and api_key must not be empty")
        taken = [account.organization for account in self.accounts.values()]
        if any(slug == other.slug or api_key == other.api_key for other in taken):
            raise ValueError(f"slug {slug!r} or its api_key is taken by another organization")
        organization = Organization(slug, random_id("org-"), random_id("proj_"), api_key)
        account = self.accounts[slug] = Account(organization, fine_tuned_before)
        return account

    def authenticate(self, headers: Mapping[str, str]) -> Account:
        """Return the account that the request's key belongs to.

        Raises:
            ApiError: 401, without the key in its message.
        """
        scheme, _, key = headers.get("authorization", "").partition(" ")
        key = key.strip()
        if scheme.lower() != "bearer" or not key:
            raise ApiError(401, "You didn't provide an API key.", code="invalid_api_key")
        for account in self.accounts.values():
            organization = account.organization
            if key == organization.api_key:
                named = headers.get("openai-organization")
                if named and named not in {organization.id, organization.slug}:
                    raise ApiError(
                        401,
                        "OpenAI-Organization header should match organization for API key",
                        code="mismatched_organization",
                    )
                return account
        raise ApiError(401, "Incorrect API key provided.", code="invalid_api_key")

    def is_shut_down(self, model_id: str, now: datetime) -> bool:
        """Whether a model's published shutdown date has come."""
        day = self.settings.catalog.shutdown_of(ALIASES.get(model_id, model_id))
        return day is not None and takes_effect(day, self.settings.rollover) <= now

    def base_models(self) -> tuple[str, ...]:
        """The ids of all base models, gone or not."""
        dated = [row.id for row in self.settings.catalog.base_models]
        successors = [row.replacement for row in self.settings.catalog.base_models if row.replacement]
        return tuple(dict.fromkeys((*dated, *ALIASES, *successors, *UNDATED_MODELS)))

    def find_model(self, account: Account, model_id: str, now: datetime) -> str:
        """Return the id under which ``model_id`` is served to the organization.

        Raises:
            ApiError: 404; it does not exist for this organization, or was shut down.
        """
        if model_id not in account.models and model_id not in self.base_models():
            raise model_not_found(model_id)
        if self.is_shut_down(model_id, now):
            raise model_deprecated(model_id)
        return ALIASES.get(model_id, model_id)

    def tunable(self, base: str) -> bool:
        """Whether fine-tuning is offered for a base model, gone or not."""
        return any(row.id == base for row in self.settings.catalog.base_models)

    def may_create_jobs(self, account: Account, now: datetime) -> bool:
        """Whether the policy lets the organization create a job."""
        return may_create_jobs(
            self.settings.policy,
            now,
            fine_tuned_before=account.fine_tuned_before,
            last_inference=account.last_inference,
            rollover=self.settings.rollover,
        )

    def note_inference(self, account: Account, model_id: str, now: datetime) -> None:
        """Remember that a fine-tuned model of the organization answered."""
        if model_id in account.models and (account.last_inference is None or account.last_inference < now):
            account.last_inference = now

    def finish_jobs(self, account: Account, now: datetime) -> None:
        """Let every job whose time has come succeed, and bring its models into being."""
        for job in account.jobs.values():
            due = job.created_at + self.settings.job_duration
            if job.cancelled_at is not None or job.finished_at is not None or now < due:
                continue
            parent = FineTunedModel.parse(job.base)
            model = account.add_model(parent.base if parent else job.base, job.suffix or "", due)
            job.checkpoint = account.own(f"{model.id}:ckpt-step-10", due).id
            job.fine_tuned_model, job.finished_at = model.id, due


@dataclass(frozen=True)
class Call:
    """One authenticated call, as the endpoints see it.

    Attributes:
        provider: The provider; its lock is held.
        account: Whose call it is.
        now: The simulated time, one for the whole call.
        body: The JSON object or the form's text fields.
        parts: The form's files, each with its name and content.
        params: The parts of the path.
        query: The query parameters.
    """

    provider: Provider
    account: Account
    now: datetime
    body: Mapping[str, Any]
    parts: Mapping[str, tuple[str, bytes]]
    params: Mapping[str, str]
    query: Mapping[str, str]

    @property
    def timestamp(self) -> int:
        """The time of the call in Unix seconds."""
        return int(self.now.timestamp())
