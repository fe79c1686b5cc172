"""The guard of one configuration: it records responses and serves the operations of ``client.guard``.

A client and all its copies share one. Operations that need API calls are flows.
"""

from __future__ import annotations

import logging
import sys
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from finetune_guard.domain.bounded import Bounded
from finetune_guard.domain.errors import FineTuneGuardWarning, GuardConfigError
from finetune_guard.domain.facts import ModelLimits, Source
from finetune_guard.domain.model_ids import EXAMPLE_ID, FineTunedModel
from finetune_guard.domain.organizations import Credentials, Subject
from finetune_guard.domain.policy import aware_utc
from finetune_guard.domain.validation import format_value
from finetune_guard.domain.verdict import Eligibility
from finetune_guard.engine import telemetry
from finetune_guard.engine.authorization import Authorization
from finetune_guard.engine.decider import Decider
from finetune_guard.engine.deployments import Deployments, Resource
from finetune_guard.engine.identification import Identification
from finetune_guard.engine.keep_alive import KeepAliveSender
from finetune_guard.engine.observer import Observer
from finetune_guard.engine.shutdowns import ModelEnds
from finetune_guard.engine.telemetry import METRICS
from finetune_guard.engine.usage_sync import UsageReader, may_help
from finetune_guard.openai_api.completions import valid_model_name
from finetune_guard.openai_api.errors import status_and_code
from finetune_guard.openai_api.flow import Flow
from finetune_guard.openai_api.listing import read_listing, read_model_limits
from finetune_guard.openai_api.requests import GuardedCall
from finetune_guard.recording.pending import new_facts
from finetune_guard.rules import endings, events
from finetune_guard.rules.inventory import MOST_JOB_PAGES, Inventory, build_inventory
from finetune_guard.rules.keep_alive import KeepAlive

if TYPE_CHECKING:
    from finetune_guard.config import GuardConfig

logger = logging.getLogger("finetune_guard")

_OBSERVED = Source.OBSERVED  # a lookup on the class takes 0.1 µs before Python 3.12


class Guard:
    """The parts that one configuration needs, wired together."""

    def __init__(self, config: GuardConfig) -> None:
        self.config = config
        self.decider = Decider(config)
        self.recorder, self.events = self.decider.recorder, self.decider.events
        self.ends = ModelEnds(config, self.recorder.store)
        telemetry.register(self)
        self.deployments = Deployments(self.decider)
        self.observer = Observer(self.decider, self.ends)
        self.identification = Identification(self.decider, self.ends)
        self.usage = UsageReader(self.decider, self.identification)
        self._recorded_for: Bounded[Credentials, bool] = Bounded()

    def authorization(self, call: GuardedCall, credentials: Credentials, **options: Any) -> Authorization:
        """Return the authorization of one call, with the options of ``Authorization``."""
        return Authorization(self, call, credentials, **options)

    # After a call.

    def learn_organization(
        self, subject: Subject, project: str | None, placeholder: Credentials | None
    ) -> None:
        """Record which organization the credentials of a request belong to, as its response says.

        A ``placeholder`` stood for the credentials until they were known.
        """
        self.recorder.record_organization(subject)
        if project is not None:
            self.recorder.merge(subject, names=(project,))
        if placeholder is not None and placeholder in self._recorded_for:
            self.recorder.merge_placeholder(placeholder, subject)
        elif subject.credentials in self._recorded_for:  # what was recorded is the organization's from now on
            self.recorder.merge(subject, new_facts())

    def record_answer(self, model: str, subject: Subject, date: bytes | None) -> FineTuneGuardWarning | None:
        """Record an inference; return the warning that is due about its model, if any."""
        at = self.decider.answered_at(date)
        self.recorder.record(subject, model, _OBSERVED, at)
        if METRICS in sys.modules:
            telemetry.count_inference(subject.organization, model)
        if self.ends.checked_on.get(model) == at.date():  # here too: every inference passes here
            return None
        return self.sunset_warning(model, at, organization=subject.organization)

    def sunset_warning(
        self, model: str, now: datetime, *, served: str | None = None, organization: str | None = None
    ) -> FineTuneGuardWarning | None:
        """Return the warning that is due when a model has answered, if any, and emit it as an event."""
        warning = self.ends.sunset_warning(model, now, served)
        if warning is not None:
            dates = self.ends.dates
            end = next(
                iter(endings.model_ends([model], dates) or endings.model_ends([served or ""], dates)), None
            )
            if end is not None:
                make = partial(events.model_ending, organization, (end.name,), end.ends, now=now)
                self.events.emit_when_near(end, now, make)
        return warning

    def record(
        self, credentials: Credentials, model: str, at: datetime | None, resource: Resource | None = None
    ) -> None:
        """Record an inference made outside this client; at a ``resource``, ``model`` names a deployment."""
        if resource is None:
            _must_be_fine_tuned("record", model)
        elif not valid_model_name(model):
            raise GuardConfigError(
                f"record(model=...) is {format_value(model)}: a deployment's name is required"
            )
        now = self.decider.now()
        try:
            answered_at = aware_utc(at) if at is not None else now
        except (AttributeError, OverflowError, ValueError):
            raise GuardConfigError(
                f"record(at=...) is {format_value(at)}: a datetime with a time zone is required"
            ) from None
        if answered_at - now > timedelta(days=1):
            raise GuardConfigError(f"record(at=...) is {answered_at.isoformat()}: it lies in the future")
        if not self.config.enabled:
            return
        if resource is not None:
            subject = resource.subject
            resource.record_call(model, answered_at)
        else:
            subject = self.decider.subject_of(credentials)
            if subject.organization is None:
                self._recorded_for[credentials] = True
        self.recorder.record(subject, model, _OBSERVED if at is None else Source.IMPORTED, answered_at)

    # Public operations.

    def check(
        self, credentials: Credentials, *, refresh: bool, admin_key: str | None = None
    ) -> Flow[Eligibility]:
        """Decide; with ``refresh``, ask the API first."""
        if refresh:
            credentials, listing = yield from self.identification.identify(credentials, again=True)
            if listing is not None and listing.failure is not None:
                rest = "the history alone" if listing.reply is None else "the history and its other answers"
                logger.warning(
                    "The API did not answer (%s); the verdict rests on %s.",
                    status_and_code(listing.failure),
                    rest,
                )
            if may_help(self.decider.decide(credentials), admin_key):
                yield from self.usage.for_decision(credentials, admin_key)
        return self.decider.decide(credentials)

    def inventory(self, credentials: Credentials, *, refresh: bool) -> Flow[Inventory]:
        """List every fine-tuned model that the key can see, and add those in the history."""
        listing = yield from read_listing(most_job_pages=MOST_JOB_PAGES, always_jobs=True)
        if listing.reply is not None:
            credentials = listing.reply.subject.credentials
            self.identification.record(listing)
            if refresh:
                self.ends.store_announced(listing.announced)
        now, history = self.decider.now(), self.decider.history(credentials)
        return build_inventory(listing, history, self.ends.read(now), now)

    def model_limits(self, credentials: Credentials) -> Flow[ModelLimits]:
        """Fetch the organization's model limits and record them; no decision uses them."""
        limits, reply = yield from read_model_limits(self.decider.now())
        subject = reply.subject if reply is not None else self.decider.subject_of(credentials)
        self.recorder.merge(subject, new_facts(model_limits=limits))
        return limits

    def sender(
        self,
        credentials: Credentials,
        keep_alive: KeepAlive,
        *,
        force: bool = False,
        model: str | None = None,
    ) -> KeepAliveSender:
        """Return the sender of a keep-alive, which goes only to ``model`` if one is given."""
        if model is not None:
            _must_be_fine_tuned("keep_alive", model)
        return KeepAliveSender(
            keep_alive, self.decider, self.ends, self.identification, credentials, force, model
        )


def _must_be_fine_tuned(method: str, model: object) -> None:
    if FineTunedModel.parse(model) is None:
        raise GuardConfigError(
            f"{method}(model=...) is {format_value(model)}: a fine-tuned model's id is required, "
            f"such as {EXAMPLE_ID}"
        )
