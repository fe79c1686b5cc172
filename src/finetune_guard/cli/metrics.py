"""``finetune-guard metrics``: what is known, in Prometheus' text format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from finetune_guard.cli.connection import connect
from finetune_guard.cli.failures import need_extra
from finetune_guard.cli.options import Refresh
from finetune_guard.cli.whole_file import write_whole
from finetune_guard.domain.history import History
from finetune_guard.domain.shutdowns import ShutdownDates
from finetune_guard.domain.verdict import Eligibility, Reason, Verdict
from finetune_guard.rules import endings
from finetune_guard.rules.alerts import unanswered_at
from finetune_guard.rules.deployments import Deployment


def metrics(
    *,
    textfile: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write this file, whole or not at all, for node_exporter's textfile collector.",
        ),
    ] = None,
    refresh: Refresh = False,
) -> None:
    """Print what is known as metrics for Prometheus.

    They are in its text format, for a textfile collector. What is not known has no sample. This command
    needs the extra `metrics`.

    Exit codes: 0 printed; 2 no key, a wrong setting, no extra `metrics`, or a file that can't be written; 1
    failure.
    """
    need_extra("prometheus_client", "metrics")
    connection = connect()
    connection.must_be_active("No metrics are made for")
    eligibility = connection.guard.check(refresh=refresh)
    families: list[Any] = []
    if connection.guard.guards_jobs:
        families += _of_jobs(eligibility, connection.history(eligibility), connection.dates())
    if eligibility.reason is not Reason.HISTORY_UNAVAILABLE:
        families += _of_deployments(connection.guard.deployments(everywhere=True), eligibility.checked_at)
    text = _exposition(families)
    if textfile is None:
        typer.echo(text, nl=False)
    else:
        write_whole(textfile, text)


def _exposition(families: list[Any]) -> str:
    from prometheus_client import CollectorRegistry, generate_latest  # noqa: PLC0415 -- of an extra

    class Known:
        def collect(self) -> list[Any]:
            return families

    registry = CollectorRegistry()
    registry.register(Known())
    return generate_latest(registry).decode()


def _of_deployments(deployments: Iterable[Deployment], now: datetime) -> Iterator[Any]:
    from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415 -- of an extra

    family = GaugeMetricFamily(
        "finetune_guard_deployment_remaining_seconds",
        "Time until a deployment may end if nobody calls it; 0 once it may have.",
        labels=["resource", "deployment"],
    )
    for each in deployments:
        if each.ends is not None:
            remaining = max(0.0, (each.ends[0] - now).total_seconds())
            family.add_metric([each.resource, each.name], remaining)
    if family.samples:
        yield family


def _of_jobs(eligibility: Eligibility, history: History, dates: ShutdownDates) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily  # noqa: PLC0415 -- of an extra

    now, last, until = eligibility.checked_at, eligibility.last_inference, eligibility.jobs_until
    organization = eligibility.organization or ""

    def gauge(name: str, help_text: str, value: float | None) -> Iterator[Any]:
        if value is not None:
            family = GaugeMetricFamily(f"finetune_guard_{name}", help_text, labels=["organization"])
            family.add_metric([organization], value)
            yield family

    verdicts = GaugeMetricFamily(
        "finetune_guard_verdict",
        "1 for the verdict about new fine-tuning jobs, 0 for the others.",
        labels=["organization", "verdict"],
    )
    for verdict in Verdict:
        verdicts.add_metric([organization, verdict.value], float(verdict is eligibility.verdict))
    yield verdicts
    readable = eligibility.reason is not Reason.HISTORY_UNAVAILABLE
    yield from gauge("history_readable", "Whether the history can be read.", readable)
    yield from gauge(
        "window_remaining_seconds",
        "Time until the window closes if nothing changes; 0 once it has.",
        endings.seconds_open(eligibility),
    )
    yield from gauge(
        "jobs_remaining_seconds",
        "Time for which jobs can be created if nothing changes.",
        (until - now).total_seconds() if until is not None else None,
    )
    yield from gauge(
        "last_inference_timestamp_seconds",
        "When the latest known inference of a fine-tuned model was answered.",
        last.at.timestamp() if last is not None else None,
    )
    yield from gauge(
        "keep_alive_failing",
        "Whether the last keep-alive was answered by no model, and no inference is known since.",
        (unanswered_at(history.evidence) is not None) if readable else None,
    )
    inferences = CounterMetricFamily(
        "finetune_guard_inferences",
        "Known inferences of fine-tuned models by source; those of usage_api include the others.",
        labels=["organization", "source"],
    )
    counts: Counter[str] = Counter()
    for day in history.daily.values():
        counts.update({source.value: count for source, count in day.items()})
    for source, count in sorted(counts.items()):
        inferences.add_metric([organization, source], count)
    if inferences.samples:
        yield inferences
    models = GaugeMetricFamily(
        "finetune_guard_model_remaining_days",
        "Days until a model that the history knows ends, give or take one; gone once it has.",
        labels=["organization", "model"],
    )
    for ending in endings.models(history.known_models, dates):
        if ending.days_left(now) >= 0:
            models.add_metric([organization, ending.name], ending.days_left(now))
    if models.samples:
        yield models
