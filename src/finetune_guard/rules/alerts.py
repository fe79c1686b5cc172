"""Decide which alerts are due, given the present state and the alerts sent before.

An alert is due when the verdict has changed, when no model answered a keep-alive, and when the end of the
time for creating jobs, of a model or of a deployment comes near. Sent alerts are stored by subject, such as
``verdict`` or ``model/ft:...``. Each threshold alerts once, and again only after the end has moved away from
it. Before the first run the verdict counts as eligible, so that an eligible organization causes no alert.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from hashlib import blake2b

from finetune_guard.domain.events import Event
from finetune_guard.domain.history import Evidence
from finetune_guard.domain.verdict import Eligibility, Verdict
from finetune_guard.rules import events
from finetune_guard.rules.deployments import Deployment, DeploymentEnd, upcoming_ends
from finetune_guard.rules.endings import MODEL, THRESHOLDS, WINDOW, Ending, is_crossed

_DAY = timedelta(days=1)
_VERDICT = "verdict"
_KEEP_ALIVE = "keep-alive"
_LONGEST_SUBJECT = 512  # characters, the limit of a store


@dataclass(frozen=True)
class Alert:
    """An event to send, and the state to store by subject once it was sent."""

    event: Event
    state: Mapping[str, str]

    @property
    def id(self) -> str:
        """A stable id, the same each time the same alert is sent."""
        about = repr((self.event.organization, sorted(self.state.items())))
        return blake2b(about.encode(), digest_size=8).hexdigest()


@dataclass
class Due:
    """The alerts that are due, and other state to store; None removes a subject."""

    alerts: list[Alert] = field(default_factory=list)
    updates: dict[str, str | None] = field(default_factory=dict)


def alerts_due(
    eligibility: Eligibility, evidence: Evidence, ends: Iterable[Ending], state: Mapping[str, str]
) -> Due:
    """Return the alerts due about the verdict and ``ends``; ``state`` is that of the alerts sent before."""
    now, organization = eligibility.checked_at, eligibility.organization
    crossed, found = _crossed(ends, state, now)
    before = next((each for each in Verdict if each.value == state.get(_VERDICT)), Verdict.ELIGIBLE)
    if eligibility.verdict is not before:
        event: Event = events.verdict_changed(eligibility, before)
        found.alerts.append(Alert(event, {_VERDICT: eligibility.verdict.value}))
    failed_at = unanswered_at(evidence)
    if failed_at is not None and _KEEP_ALIVE not in state:
        event = events.keep_alive_unanswered(eligibility, failed_at)
        found.alerts.append(Alert(event, {_KEEP_ALIVE: "failed"}))
    elif failed_at is None and _KEEP_ALIVE in state:
        found.updates[_KEEP_ALIVE] = None
    for of, threshold in crossed:
        if of[0].kind == WINDOW:
            event = events.window_closing(eligibility, threshold)
        else:
            event = events.model_ending(organization, [each.name for each in of], of[0].ends, threshold, now)
        found.alerts.append(_alert(event, of, threshold))
    return found


def deployment_alerts_due(deployments: Iterable[Deployment], state: Mapping[str, str], now: datetime) -> Due:
    """Return the alerts due about deployments of one resource; see ``alerts_due``.

    An idle deployment never has more time left than its window, so thresholds above half of it don't count.
    """
    ends: dict[Ending, DeploymentEnd] = {}
    for end in upcoming_ends(deployments):
        half = end.deployment.policy.window / _DAY / 2
        most_days = half if end.kind == "idle" else THRESHOLDS[-1]
        ends[Ending(end.kind, end.deployment.name, end.day, most_days)] = end
    crossed, found = _crossed(ends, state, now)
    for of, threshold in crossed:
        found.alerts.append(_alert(events.deployment_ending(ends[of[0]], threshold, now), of, threshold))
    return found


def _crossed(
    ends: Iterable[Ending], state: Mapping[str, str], now: datetime
) -> tuple[list[tuple[list[Ending], int]], Due]:
    """Return the crossed thresholds, with models that end on the same day grouped together."""
    crossed: dict[tuple[str, date, int, str], list[Ending]] = {}
    updates: dict[str, str | None] = {subject: None for subject in state if "/" in subject}
    for each in ends:
        subject, threshold = _subject(each), each.threshold(now)
        before = state.get(subject, "")
        if threshold is not None and is_crossed(int(before) if before.isdecimal() else None, threshold):
            updates.pop(subject, None)
            alone = "" if each.kind == MODEL else each.name
            crossed.setdefault((each.kind, each.ends, threshold, alone), []).append(each)
        else:
            updates[subject] = str(threshold) if threshold is not None else None
    news = {subject: text for subject, text in updates.items() if text != state.get(subject)}
    return [(of, threshold) for (_, _, threshold, _), of in crossed.items()], Due(updates=news)


def _alert(event: Event, of: Iterable[Ending], threshold: int) -> Alert:
    return Alert(event, dict.fromkeys(map(_subject, of), str(threshold)))


def _subject(ending: Ending) -> str:
    return f"{ending.kind}/{ending.name}"[:_LONGEST_SUBJECT]


def unanswered_at(evidence: Evidence) -> datetime | None:
    """Return when no model answered a keep-alive; None if an inference is known since."""
    failed_at, last = evidence.keep_alive_failed_at, evidence.last_inference
    if failed_at is None or (last is not None and last.latest_at >= failed_at):
        return None
    return failed_at
