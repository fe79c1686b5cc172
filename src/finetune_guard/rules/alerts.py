"""Which alerts are due, by what is known now and what was told before. No I/O and no clock here.

Told are a verdict that changed, a keep-alive that no model answered, and an end that comes near: of the time
in which jobs can be created, and of models. What has been told is kept by subject, such as ``verdict`` or
``model/ft:...``: a threshold is told once, and again only after the end has moved away from it. Before the
first run the verdict counts as eligible, so that nothing is told of an organization that is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from hashlib import blake2b

from finetune_guard.domain.events import Event
from finetune_guard.domain.history import Evidence
from finetune_guard.domain.verdict import Eligibility, Verdict
from finetune_guard.rules import events
from finetune_guard.rules.endings import WINDOW, Ending, is_crossed

_VERDICT = "verdict"
_KEEP_ALIVE = "keep-alive"
_LONGEST_SUBJECT = 512
"""Characters: what a store can keep."""


@dataclass(frozen=True)
class Alert:
    """Something to be told.

    Attributes:
        event: What happened, or will.
        told: What to keep once it was told, by subject.
    """

    event: Event
    told: Mapping[str, str]

    @property
    def id(self) -> str:
        """The same for the same alert, however often it is sent."""
        about = repr((self.event.organization, sorted(self.told.items())))
        return blake2b(about.encode(), digest_size=8).hexdigest()


@dataclass
class Due:
    """The alerts that are due.

    Attributes:
        alerts: The alerts.
        settled: What to keep whether or not anything is told, by subject; None for what is to be removed.
    """

    alerts: list[Alert] = field(default_factory=list)
    settled: dict[str, str | None] = field(default_factory=dict)


def due(eligibility: Eligibility, evidence: Evidence, ends: Iterable[Ending], told: Mapping[str, str]) -> Due:
    """Return the alerts that are due.

    Args:
        eligibility: The decision about the organization now.
        evidence: What it rests on.
        ends: What ends, the end of the time to create jobs among it where it is known.
        told: What was told before, by subject.
    """
    found = Due()
    before = _verdict(told.get(_VERDICT))
    if eligibility.verdict is not before:
        event: Event = events.verdict_changed(eligibility, before)
        found.alerts.append(Alert(event, {_VERDICT: eligibility.verdict.value}))
    failed_at = unanswered_at(evidence)
    if failed_at is None:
        found.settled[_KEEP_ALIVE] = None
    elif _KEEP_ALIVE not in told:
        event = events.keep_alive_unanswered(eligibility, failed_at)
        found.alerts.append(Alert(event, {_KEEP_ALIVE: "failed"}))
    _find_crossed(found, eligibility, ends, told)
    found.settled = {subject: text for subject, text in found.settled.items() if text != told.get(subject)}
    return found


def _find_crossed(
    found: Due, eligibility: Eligibility, ends: Iterable[Ending], told: Mapping[str, str]
) -> None:
    """Find the thresholds that were crossed; what ends on the same day is told together."""
    crossed: dict[tuple[str, date, int], dict[str, str]] = {}
    gone = {subject for subject in told if "/" in subject}
    for ending in ends:
        subject = f"{ending.kind}/{ending.name}"[:_LONGEST_SUBJECT]
        gone.discard(subject)
        threshold = ending.threshold(eligibility.checked_at)
        before = told.get(subject, "")
        if threshold is not None and is_crossed(int(before) if before.isdecimal() else None, threshold):
            crossed.setdefault((ending.kind, ending.ends, threshold), {})[ending.name] = subject
        else:
            found.settled[subject] = str(threshold) if threshold is not None else None
    found.settled |= dict.fromkeys(gone)
    for (kind, ends_on, threshold), subjects in crossed.items():
        event = _ending(kind, tuple(subjects), ends_on, threshold, eligibility)
        if event is not None:
            found.alerts.append(Alert(event, dict.fromkeys(subjects.values(), str(threshold))))


def _ending(
    kind: str, names: tuple[str, ...], ends_on: date, threshold: int, eligibility: Eligibility
) -> Event | None:
    if kind == WINDOW:
        return events.window_closing(eligibility, threshold)
    now = eligibility.checked_at
    return events.model_ending(eligibility.organization, names, ends_on, threshold, now)


def _verdict(told: str | None) -> Verdict:
    """Return the verdict that was told last; ``eligible`` before the first time."""
    return next((verdict for verdict in Verdict if verdict.value == told), Verdict.ELIGIBLE)


def unanswered_at(evidence: Evidence) -> datetime | None:
    """Return when a keep-alive was answered by no model; None if an inference is known since."""
    failed_at, last = evidence.keep_alive_failed_at, evidence.last_inference
    if failed_at is None or (last is not None and last.latest_at >= failed_at):
        return None
    return failed_at
