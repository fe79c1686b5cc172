"""The state of the simulated provider: organizations, keys, models and policy."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from starlette.datastructures import QueryParams

from finetune_guard.domain.catalog import ModelCatalog
from finetune_guard.domain.policy import AccessPolicy
from finetune_guard.simulator.access import Rollover, may_create_jobs, takes_effect
from finetune_guard.simulator.answers import ApiError, forbidden, model_not_found
from finetune_guard.simulator.organizations import Account, Organization, random_id

_ADMIN_PATHS = "/v1/organization/"
_UNDATED_MODELS = ("gpt-6-luna", "text-embedding-3-small", "text-embedding-3-large")
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
    """Settings of the simulated provider; ``Simulator`` documents them."""

    policy: AccessPolicy
    catalog: ModelCatalog
    rollover: Rollover
    job_duration: timedelta
    batch_duration: timedelta
    usage_lag: timedelta
    fine_tunes_carry_shutdown_date: bool = False


@dataclass(frozen=True)
class Caller:
    """The organization and project of a request's key; an admin key has no project."""

    account: Account
    project: str | None

    def project_for(self, path: str) -> str:
        """Return the project that a call of ``path`` counts for; empty for an admin key."""
        if path.startswith(_ADMIN_PATHS):
            if self.project is not None:
                raise forbidden("api.usage.read")
            return ""
        if self.project is None:
            raise forbidden()
        return self.project


@dataclass
class Provider:
    """The state behind the API. Hold ``lock`` to use it from another thread."""

    clock: Callable[[], datetime]
    settings: Settings
    accounts: dict[str, Account] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)
    _callers: dict[str, Caller] = field(default_factory=dict, init=False, repr=False)

    def add_account(
        self, slug: str, api_key: str, *, fine_tuned_before: bool, admin_key: str | None = None
    ) -> Account:
        """Add an organization with one project; raise a ValueError if the slug or a key is taken or empty."""
        if not slug or slug in self.accounts:
            raise ValueError(f"slug {slug!r} is {'taken by another organization' if slug else 'empty'}")
        self._check_keys(api_key=api_key, admin_key=admin_key)
        project = random_id("proj_")
        organization = Organization(slug, random_id("org-"), project, api_key, admin_key)
        account = self.accounts[slug] = Account(organization, fine_tuned_before, [project])
        self._callers[api_key] = Caller(account, project)
        if admin_key is not None:
            self._callers[admin_key] = Caller(account, None)
        return account

    def add_project(self, account: Account, api_key: str) -> str:
        """Add a project with its own key to an organization, and return its id."""
        self._check_keys(api_key=api_key)
        project = random_id("proj_")
        account.projects.append(project)
        self._callers[api_key] = Caller(account, project)
        return project

    def _check_keys(self, **keys: str | None) -> None:
        given = {name: key for name, key in keys.items() if key is not None}
        for name, key in given.items():
            if not key:
                raise ValueError(f"{name} must not be empty")
            if key in self._callers or list(given.values()).count(key) > 1:
                raise ValueError(f"{name} is taken: a key has one use")

    def authenticate(self, headers: Mapping[str, str]) -> Caller:
        """Return the caller with the request's key; raise an ApiError, which never shows the key."""
        scheme, _, key = headers.get("authorization", "").partition(" ")
        key = key.strip()
        if scheme.lower() != "bearer" or not key:
            raise ApiError(401, "You didn't provide an API key.", code="invalid_api_key")
        caller = self._callers.get(key)
        if caller is None:
            raise ApiError(401, "Incorrect API key provided.", code="invalid_api_key")
        organization = caller.account.organization
        named = headers.get("openai-organization")
        if named and named not in {organization.id, organization.slug}:
            message = "OpenAI-Organization header should match organization for API key"
            raise ApiError(401, message, code="mismatched_organization")
        return caller

    def is_shut_down(self, model_id: str, now: datetime) -> bool:
        """Whether a model's published shutdown date has passed."""
        day = self.settings.catalog.shutdown_of(ALIASES.get(model_id, model_id))
        return day is not None and takes_effect(day, self.settings.rollover) <= now

    def base_models(self) -> tuple[str, ...]:
        """The ids of all base models, shut down or not."""
        dated = [row.id for row in self.settings.catalog.base_models]
        successors = [row.replacement for row in self.settings.catalog.base_models if row.replacement]
        return tuple(dict.fromkeys((*dated, *ALIASES, *successors, *_UNDATED_MODELS)))

    def find_model(self, account: Account, model_id: str, now: datetime) -> str:
        """Return ``model_id`` without alias; raise an ApiError if the organization can't use it."""
        if model_id not in account.models and model_id not in self.base_models():
            raise model_not_found(model_id)
        if self.is_shut_down(model_id, now):
            page = "https://platform.openai.com/docs/deprecations"
            raise model_not_found(model_id, f"has been deprecated, learn more here: {page}")
        return ALIASES.get(model_id, model_id)

    def is_tunable(self, base: str) -> bool:
        """Whether a base model, shut down or not, can be fine-tuned."""
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


@dataclass(frozen=True)
class Call:
    """An authenticated call, passed to the endpoints while the provider's lock is held.

    Attributes:
        project: The project that it counts for; empty for an admin key.
        body: The JSON object or the form's text fields.
        parts: The form's files, each with its name and content.
        params: The path parameters.
        batch: Whether it is part of a batch.
    """

    provider: Provider
    account: Account
    project: str
    now: datetime
    body: Mapping[str, Any]
    parts: Mapping[str, tuple[str, bytes]]
    params: Mapping[str, str]
    query: QueryParams
    batch: bool = False

    @property
    def timestamp(self) -> int:
        """The time of the call in Unix seconds."""
        return int(self.now.timestamp())
