"""The report as a web page and as Markdown. No I/O but the template, and no clock."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from finetune_guard.cli.ends import source_in_words
from finetune_guard.cli.timeline import Mark, Moment, days_away, distance
from finetune_guard.cli.verdict import why
from finetune_guard.domain.text import quoted
from finetune_guard.rules.idle_messages import end_in_words, retirement_in_words
from finetune_guard.rules.messages import moment
from finetune_guard.rules.report import DAYS, Report, ReportedModel

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 720, 240, 48, 12, 12, 28
_TICKS = 4
_EACH_LABEL = 7
_DEPLOYMENTS = "Deployments that end when nobody calls them"
_NO_DEPLOYMENT = "No deployment is known that ends when nobody calls it."
_STEPS = (1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 25)
_ESCAPED = str.maketrans({char: f"\\{char}" for char in "\\`*_{}[]<>#|"})


@dataclass(frozen=True)
class Bar:
    """One block of the chart, in the units of its drawing.

    Attributes:
        series: The number of the series, from 0 on.
        x: Its left edge.
        y: Its upper edge.
        width: Its width.
        height: Its height.
        title: What it stands for.
    """

    series: int
    x: float
    y: float
    width: float
    height: float
    title: str


@dataclass(frozen=True)
class Chart:
    """The requests of each day as stacked bars.

    Attributes:
        names: The series, in the order of their colours.
        bars: The blocks.
        ticks: The values at the left, and how high they stand.
        labels: The days below, and where they stand.
        total: The requests of all days together.
    """

    names: tuple[str, ...]
    bars: tuple[Bar, ...]
    ticks: tuple[tuple[int, float], ...]
    labels: tuple[tuple[date, float], ...]
    total: int


def as_html(report: Report, line: Sequence[Moment], advice: str) -> str:
    """Return the page. Names come from outside, so that the template escapes everything."""
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415 -- an extra

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["px"] = "{:.2f}".format
    source = (pkgutil.get_data("finetune_guard.cli", "templates/report.html") or b"").decode()
    return environment.from_string(source).render(
        **_facts(report, advice),
        report=report,
        chart=chart(report),
        line=[(each, each.when, distance(each, report.eligibility.checked_at)) for each in line],
        today=Mark.TODAY,
        rows=[_row(each) for each in report.models],
        deployments=_deployed(report),
        deployments_title=_DEPLOYMENTS,
        no_deployment=_NO_DEPLOYMENT,
        calling=[_row(each) for each in _still_called(report)],
        size=(_WIDTH, _HEIGHT),
        left=_LEFT,
        bottom=_HEIGHT - _BOTTOM,
    )


def as_markdown(report: Report, line: Sequence[Moment], advice: str) -> str:
    """Return the report as GitHub's Markdown."""
    return "\n".join(_markdown(report, line, advice)) + "\n"


def _deployed(report: Report) -> list[tuple[str, ...]]:
    """Return name, resource, end, last call and retirement of each deployment."""
    now = report.eligibility.checked_at
    return [
        (
            each.name,
            each.resource,
            end_in_words(each, now),
            moment(each.last_call) if each.last_call is not None else "",
            retirement_in_words(each),
        )
        for each in report.deployments
    ]


def _markdown(report: Report, line: Sequence[Moment], advice: str) -> Iterator[str]:
    facts, deployed = _facts(report, advice), _deployed(report)
    yield f"# {_text(facts['title'])}"
    if report.speaks_of_jobs:
        yield f"\n**{report.eligibility.verdict.value.upper()}**: {_text(facts['why'])}."
        yield f"\n**What to do:** {_text(advice)}"
        yield "\n" + _text(f"{facts['in_use']} {facts['last_job']}")
    if deployed:
        yield f"\n## {_DEPLOYMENTS}\n"
        yield from _table(("Deployment", "Resource", "End", "Last call", "Retirement"), deployed)
    if report.speaks_of_jobs:
        yield from _dates_and_models(report, line, facts)
    elif not deployed:
        yield f"\n{_NO_DEPLOYMENT}"


def _dates_and_models(report: Report, line: Sequence[Moment], facts: Mapping[str, str]) -> Iterator[str]:
    yield "\n## Dates\n"
    yield from _table(
        ("Date", "What", ""),
        [(each.when, each.text, distance(each, report.eligibility.checked_at)) for each in line],
    )
    called = _still_called(report)
    yield "\n## Still called, and ending\n"
    if called:
        yield from _table(
            ("Model", "Ends", "Days left", f"Requests in {DAYS} days", "Projects", "Replacement"),
            _cells(called, "model", "ends", "days_left", "requests", "projects", "replacement"),
        )
    else:
        yield "No model that ends is known to be called."
    yield "\n## All models, by their end\n"
    if report.models:
        yield from _table(
            ("Model", "Ends", "Days left", "Date from", "Latest inference", "Replacement"),
            _cells(report.models, "model", "ends", "days_left", "date_from", "latest", "replacement"),
        )
    else:
        yield "No model is known."
    yield f"\n{_text(facts['counted'])} {_text(facts['seen'])} Made on {facts['made_at']} by finetune-guard."


def _title(report: Report) -> str:
    if not report.speaks_of_jobs:
        return "Deployments of fine-tuned models"
    return f"Fine-tuned models of {report.eligibility.organization or 'this key'}"


def _facts(report: Report, advice: str) -> dict[str, str]:
    eligibility, in_use = report.eligibility, len(report.in_use)
    job = f"The latest job known was created on {moment(report.last_job_at)}." if report.last_job_at else ""
    counted = (
        "Requests are the whole organization's, from its usage."
        if report.whole_organization
        else "Requests are those that this history counted. With an admin key, finetune-guard report "
        "--refresh reads the whole organization's usage, by model and project."
    )
    seen = {
        None: "The models are those that the history knows; finetune-guard report --refresh asks the API "
        "for all that the key can see.",
        False: "The API did not answer all that was asked, so models may be missing.",
        True: "The models are those that the key can see in its project, and those that the history knows.",
    }[report.complete]
    return {
        "title": _title(report),
        "why": why(eligibility),
        "advice": advice,
        "in_use": f"Used in the past {DAYS} days: {in_use:,} of {len(report.models):,} known models.",
        "last_job": job,
        "counted": counted,
        "seen": seen,
        "made_at": moment(eligibility.checked_at),
    }


def _still_called(report: Report) -> list[ReportedModel]:
    ending = [each for each in report.in_use if each.record.shutdown is not None]
    return sorted(ending, key=lambda each: (each.record.days_left or 0, -(each.requests or 0)))


def _row(model: ReportedModel) -> dict[str, str]:
    record = model.record
    shutdown, last = record.shutdown, record.last_inference
    tunable = {True: " (can be fine-tuned)", False: " (can't be fine-tuned)", None: ""}
    return {
        "model": quoted(record.id),
        "ends": str(shutdown.day) if shutdown is not None else "unknown",
        "days_left": str(record.days_left) if record.days_left is not None else "",
        "away": days_away(record.days_left) if record.days_left is not None else "",
        "date_from": source_in_words(shutdown) if shutdown is not None else "",
        "latest": moment(last.at) if last is not None else "none known",
        "requests": f"{model.requests:,}" if model.requests is not None else "not read",
        "projects": ", ".join(model.projects) or ("" if model.requests is not None else "not read"),
        "replacement": f"{record.replacement}{tunable[record.replacement_can_be_fine_tuned]}"
        if record.replacement is not None
        else "",
    }


def _cells(models: Sequence[ReportedModel], *names: str) -> list[list[str]]:
    return [[row[name] for name in names] for row in map(_row, models)]


def chart(report: Report) -> Chart | None:
    """Return the chart of requests by day; None where no request is known."""
    series, days = tuple(report.requests.items()), report.days
    most = max((sum(counts) for counts in zip(*report.requests.values(), strict=True)), default=0)
    if not most:
        return None
    top = _round_up(most)
    slot, floor = (_WIDTH - _LEFT - _RIGHT) / len(days), _HEIGHT - _BOTTOM
    scale = (floor - _TOP) / top
    bars = []
    for index, day in enumerate(days):
        below = 0
        for number, (name, counts) in enumerate(series):
            used = counts[index]
            if used:
                left, title = _LEFT + index * slot + 1, f"{day}: {used:,} requests, {name}"
                bars.append(Bar(number, left, floor - (below + used) * scale, slot - 2, used * scale, title))
                below += used
    values = [top * step // _TICKS for step in range(_TICKS + 1)]
    labelled = [index for index in range(len(days)) if (len(days) - 1 - index) % _EACH_LABEL == 0]
    return Chart(
        names=tuple(name for name, _ in series),
        bars=tuple(bars),
        ticks=tuple((value, floor - value * scale) for value in values),
        labels=tuple((days[index], _LEFT + (index + 0.5) * slot) for index in labelled),
        total=sum(sum(counts) for _, counts in series),
    )


def _round_up(most: int) -> int:
    """Return a round number that is at least ``most`` and that the ticks divide."""
    size = int(10 ** max(0, len(str(most)) - 2))
    return next(_TICKS * step * size for step in _STEPS if _TICKS * step * size >= most)


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(headings)} |"
    yield f"|{'---|' * len(headings)}"
    for row in rows:
        yield f"| {' | '.join(map(_text, row))} |"


def _text(text: Any) -> str:
    """Return text that Markdown shows as it is: a name may hold a pipe, a tag or a link."""
    return " ".join(str(text).split()).translate(_ESCAPED)
