"""Metrics and span events for programs that have imported OpenTelemetry; nothing for others.

OpenTelemetry is never imported here: a program that has not imported it can't have set it up. The store is
read only when the exporter collects, never during a call. A decision about a job or an upload is added to
the current span as the event ``finetune_guard.decision``.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias

from finetune_guard import process
from finetune_guard.domain.events import Event, JobStopped, KeepAliveFailed, KeepAliveSent
from finetune_guard.domain.hosts import is_resource
from finetune_guard.domain.verdict import Eligibility
from finetune_guard.openai_api.requests import GuardedCall
from finetune_guard.rules import events
from finetune_guard.rules.endings import model_ends, seconds_open

if TYPE_CHECKING:
    from finetune_guard.engine.guard import Guard

METRICS = "opentelemetry.metrics"
_TRACE = "opentelemetry.trace"
_ORGANIZATION = "finetune_guard.organization"
_CALL = "finetune_guard.call"
_MODEL = "gen_ai.request.model"  # from OpenTelemetry's semantic conventions
_ERROR = "error.type"  # as above
_MAX_SERIES = 1_000

_Measured: TypeAlias = tuple[float, dict[str, Any]]
"""A value and its attributes."""
_Measure: TypeAlias = Callable[[], Iterable[_Measured]]
_Counters: TypeAlias = tuple[Any, Any]
"""The counters of stopped calls and of keep-alives."""


def _make_instruments(metrics: Any) -> _Counters:
    """Create all instruments, and return the counters."""
    meter = metrics.get_meter("finetune_guard")

    def observe(kind: str, name: str, measure: _Measure, unit: str, description: str) -> None:
        def callback(_options: object) -> list[Any]:
            return [metrics.Observation(value, attributes) for value, attributes in measure()]

        getattr(meter, f"create_observable_{kind}")(f"finetune_guard.{name}", [callback], unit, description)

    seen = "Inferences of fine-tuned models that this process saw."
    observe("counter", "inferences", _measure_inferences, "{call}", seen)
    observe(
        "gauge", "window.remaining", _measure_windows, "s", "Time until the window closes; 0 once it has."
    )
    observe("gauge", "model.remaining", _measure_models, "d", "Days until a model ends, give or take one.")
    stopped = "Jobs and uploads that were stopped or refused."
    return (
        meter.create_counter("finetune_guard.jobs.stopped", "{call}", stopped),
        meter.create_counter("finetune_guard.keep_alives", "{call}", "Keep-alives that were tried."),
    )


_guards: weakref.WeakSet[Guard] = weakref.WeakSet()
_lock = process.ForkLock()  # re-entrant: a signal handler may interrupt and make a call
_inferences: dict[tuple[str | None, str], int] = {}
_counters: _Counters | None = None
_has_failed = False


def register(guard: Guard) -> None:
    """Measure the windows that ``guard`` knows, for as long as it lives."""
    _guards.add(guard)
    instruments()


def instruments() -> _Counters | None:
    """Return the counters; None if the program has not imported OpenTelemetry's metrics."""
    global _counters, _has_failed  # noqa: PLW0603 -- the process has one set
    metrics = sys.modules.get(METRICS)
    if _counters is not None or _has_failed or not hasattr(metrics, "get_meter"):
        return _counters
    with _lock:
        if _counters is None:
            try:
                _counters = _make_instruments(metrics)
            except Exception:  # noqa: BLE001 -- the program's provider can fail in any way
                _has_failed = True
    return _counters


def count_inference(organization: str | None, model: str) -> None:
    """Count an inference of a fine-tuned model."""
    if _counters is None and instruments() is None:
        return
    key = organization, model
    with _lock:
        seen = _inferences.get(key)
        if seen is not None or len(_inferences) < _MAX_SERIES:
            _inferences[key] = (seen or 0) + 1


def count_event(event: Event) -> None:
    """Count a stopped call or a keep-alive."""
    counters = instruments()
    if counters is None:
        return
    stopped, keep_alives = counters
    attributes = _without_none({_ORGANIZATION: event.organization})
    if isinstance(event, JobStopped):
        stopped.add(
            1, attributes | _without_none({_CALL: event.call, _MODEL: event.model, _ERROR: event.error})
        )
    elif isinstance(event, (KeepAliveSent, KeepAliveFailed)):
        outcome = "sent" if isinstance(event, KeepAliveSent) else "failed"
        keep_alives.add(1, attributes | {"finetune_guard.outcome": outcome})


def trace_decision(call: GuardedCall, eligibility: Eligibility, *, is_stopped: bool) -> None:
    """Add a decision about a job or an upload to the current span. Never raises."""
    trace = sys.modules.get(_TRACE)
    if trace is None:
        return
    try:
        span = trace.get_current_span()
        if span.is_recording():
            facts = {
                _CALL: events.call_kind(call),
                _ORGANIZATION: eligibility.organization,
                "finetune_guard.verdict": eligibility.verdict.value,
                "finetune_guard.reason": eligibility.reason.value,
                "finetune_guard.stopped": is_stopped,
                "finetune_guard.window.remaining": seconds_open(eligibility),
            }
            span.add_event("finetune_guard.decision", _without_none(facts))
    except Exception:  # noqa: BLE001, S110 -- the program's tracer can fail in any way
        pass


def _without_none(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if value is not None}


def _measure_inferences() -> Iterator[_Measured]:
    with _lock:
        counted = list(_inferences.items())
    for (organization, model), number in counted:
        yield number, _without_none({_ORGANIZATION: organization, _MODEL: model})


def _measure_windows() -> Iterator[_Measured]:
    remaining: dict[str, float] = {}
    for guard in list(_guards):
        with suppress(Exception):  # one guard can fail in any way, and the others are measured
            remaining |= _windows(guard)
    for organization, seconds in remaining.items():
        yield seconds, {_ORGANIZATION: organization}


def _windows(guard: Guard) -> Iterator[tuple[str, float]]:
    for organization, credentials in guard.recorder.organizations().items():
        if is_resource(organization):  # another provider's, without such a window
            continue
        seconds = seconds_open(guard.decider.decide(credentials))
        if seconds is not None:
            yield organization, seconds


def _measure_models() -> Iterator[_Measured]:
    with _lock:
        names = {model for _, model in _inferences}
    days: dict[str, int] = {}
    for guard in list(_guards):
        with suppress(Exception):  # as above
            now = guard.decider.now()
            days |= {ending.name: ending.days_left(now) for ending in model_ends(names, guard.ends.read(now))}
    for model, left in days.items():
        yield left, {_MODEL: model}


# A child starts counting at zero: the parent exports its own counts.
process.register(process.Rank.EVENTS, process.Hooks(after_fork_in_child=_inferences.clear))
