"""``finetune-guard metrics``: the known state in Prometheus' text format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from finetune_guard.cli.connection import connect
from finetune_guard.cli.exits import need_extra
from finetune_guard.cli.options import Refresh
from finetune_guard.cli.output import write_whole
from finetune_guard.domain.history import History
from finetune_guard.domain.shutdowns import ShutdownDates
from finetune_guard.domain.verdict import Eligibility, Reason, Verdict
from finetune_guard.rules import endings
from finetune_guard.rules.alerts import unanswered_at
from finetune_guard.rules.deployments import Deployment

_WHOSE = ("organization",)


class _Family(NamedTuple):
    """The samples of one metric by label values; a metric without samples is left out."""

    name: str
    help_text: str
    samples: Mapping[tuple[str, ...], float | None]
    labels: tuple[str, ...] = _WHOSE
    is_counter: bool = False


def metrics(
    *,
    textfile: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write this file, for node_exporter's textfile collector."),
    ] = None,
    refresh: Refresh = False,
) -> None:
    """Print the known state as metrics for Prometheus.

    They are in its text format, for a textfile collector. What is not known has no sample. This command
    needs the extra `metrics`.

    Exit codes: 0 printed; 2 no key, a wrong setting, no extra `metrics`, or a file that can't be written; 1
    failure.
    """
    need_extra("prometheus_client", "metrics")
    connection = connect().must_be_active("No metrics are made for")
    eligibility = connection.guard.check(refresh=refresh)
    families: list[_Family] = []
    if connection.guard.guards_jobs:
        families += _of_jobs(eligibility, connection.history(eligibility), connection.dates())
    if eligibility.reason is not Reason.HISTORY_UNAVAILABLE:
        families.append(
            _of_deployments(connection.guard.deployments(everywhere=True), eligibility.checked_at)
        )
    text = _exposition(families)
    if textfile is None:
        typer.echo(text, nl=False)
    else:
        write_whole(textfile, text)


def _exposition(families: Iterable[_Family]) -> str:
    from prometheus_client import CollectorRegistry, generate_latest  # noqa: PLC0415 -- of an extra
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily  # noqa: PLC0415 -- as above

    class Known:
        def collect(self) -> Iterator[Any]:
            for each in families:
                kind = CounterMetricFamily if each.is_counter else GaugeMetricFamily
                family = kind(f"finetune_guard_{each.name}", each.help_text, labels=each.labels)
                for labels, value in each.samples.items():
                    if value is not None:
                        family.add_metric(labels, value)
                if family.samples:
                    yield family

    registry = CollectorRegistry()
    registry.register(Known())
    return generate_latest(registry).decode()


def _of_deployments(deployments: Iterable[Deployment], now: datetime) -> _Family:
    ends = {(each.resource, each.name): each.ends[0] for each in deployments if each.ends is not None}
    return _Family(
        "deployment_remaining_seconds",
        "Time until a deployment may end if nobody calls it; 0 once it may have.",
        {where: max(0.0, (end - now).total_seconds()) for where, end in ends.items()},
        ("resource", "deployment"),
    )


def _of_jobs(eligibility: Eligibility, history: History, dates: ShutdownDates) -> list[_Family]:
    now, last, until = eligibility.checked_at, eligibility.last_inference, eligibility.jobs_until
    whose = eligibility.organization or ""
    readable = eligibility.reason is not Reason.HISTORY_UNAVAILABLE
    counts: Counter[str] = Counter()
    for day in history.daily.values():
        counts.update({source.value: count for source, count in day.items()})
    ends = ((each.name, each.days_left(now)) for each in endings.model_ends(history.known_models, dates))
    return [
        _Family(
            "verdict",
            "1 for the verdict about new fine-tuning jobs, 0 for the others.",
            {(whose, each.value): float(each is eligibility.verdict) for each in Verdict},
            (*_WHOSE, "verdict"),
        ),
        _Family("history_readable", "Whether the history can be read.", {(whose,): readable}),
        _Family(
            "window_remaining_seconds",
            "Time until the window closes if nothing changes; 0 once it has.",
            {(whose,): endings.seconds_open(eligibility)},
        ),
        _Family(
            "jobs_remaining_seconds",
            "Time for which jobs can be created if nothing changes.",
            {(whose,): (until - now).total_seconds() if until is not None else None},
        ),
        _Family(
            "last_inference_timestamp_seconds",
            "When the latest known inference of a fine-tuned model was answered.",
            {(whose,): last.at.timestamp() if last is not None else None},
        ),
        _Family(
            "keep_alive_failing",
            "Whether the last keep-alive was answered by no model, and no inference is known since.",
            {(whose,): (unanswered_at(history.evidence) is not None) if readable else None},
        ),
        _Family(
            "inferences",
            "Known inferences of fine-tuned models by source; those of usage_api include the others.",
            {(whose, source): count for source, count in sorted(counts.items())},
            (*_WHOSE, "source"),
            is_counter=True,
        ),
        _Family(
            "model_remaining_days",
            "Days until a model that the history knows ends, give or take one; gone once it has.",
            {(whose, name): days for name, days in ends if days >= 0},
            (*_WHOSE, "model"),
        ),
    ]
