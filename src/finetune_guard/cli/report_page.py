"""The report as a web page and as Markdown. No I/O but the template, and no clock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from finetune_guard.cli.output import template
from finetune_guard.cli.timeline import Moment, counted, days_away, source_in_words, with_ability
from finetune_guard.cli.verdict import why
from finetune_guard.domain.text import quoted
from finetune_guard.rules.idle_messages import end_in_words, retirement_in_words
from finetune_guard.rules.messages import format_time
from finetune_guard.rules.report import DAYS, Report, ReportedModel

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 720, 240, 48, 12, 12, 28
_TICKS = 4
_EACH_LABEL = 7
_STEPS = (1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 25)
_ESCAPED = str.maketrans({char: f"\\{char}" for char in "\\`*_{}[]<>#|"})
_CALLED = ("Model", "Ends", "When", f"Requests in {DAYS} days", "Projects", "Replacement")
_KNOWN = ("Model", "Ends", "When", "Date from", "Latest inference", "Replacement")


class _Table(NamedTuple):
    title: str
    headings: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    if_empty: str


def as_html(report: Report, line: Sequence[Moment], advice: str) -> str:
    """Return the page. The template escapes everything, since names come from outside."""
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415 -- an extra

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["px"] = "{:.2f}".format
    return environment.from_string(template("report.html")).render(
        **_facts(report),
        report=report,
        advice=advice,
        chart=_chart(report),
        tables=_tables(report, line),
        size=(_WIDTH, _HEIGHT),
        left=_LEFT,
        bottom=_HEIGHT - _BOTTOM,
    )


def as_markdown(report: Report, line: Sequence[Moment], advice: str) -> str:
    """Return the report as GitHub's Markdown."""
    return "\n".join(_markdown(report, line, advice)) + "\n"


def _markdown(report: Report, line: Sequence[Moment], advice: str) -> Iterator[str]:
    facts = {name: _text(fact) for name, fact in _facts(report).items()}
    yield f"# {facts['title']}"
    if report.covers_jobs:
        yield f"\n**{report.eligibility.verdict.value.upper()}**: {facts['why']}."
        yield f"\n**What to do:** {_text(advice)}"
        yield f"\n{facts['in_use']} {facts['last_job']}".rstrip()
    for table in _tables(report, line):
        yield f"\n## {table.title}\n"
        if table.rows:
            yield f"| {' | '.join(table.headings)} |"
            yield f"|{'---|' * len(table.headings)}"
            yield from (f"| {' | '.join(map(_text, row))} |" for row in table.rows)
        else:
            yield table.if_empty
    if report.covers_jobs:
        yield f"\n{facts['counted']} {facts['seen']} Made on {facts['made_at']} by finetune-guard."


def _text(text: str) -> str:
    """Escape text for Markdown: a name may hold a pipe, a tag or a link."""
    return " ".join(text.split()).translate(_ESCAPED)


def _facts(report: Report) -> dict[str, str]:
    eligibility, in_use = report.eligibility, len(report.in_use)
    title = "Deployments of fine-tuned models"
    if report.covers_jobs:
        title = f"Fine-tuned models of {eligibility.organization or 'this key'}"
    whose_requests = (
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
    job = (
        f"The latest job known was created on {format_time(report.last_job_at)}."
        if report.last_job_at
        else ""
    )
    return {
        "title": title,
        "why": why(eligibility),
        "in_use": f"Used in the past {DAYS} days: {in_use:,} of {len(report.models):,} known models.",
        "last_job": job,
        "counted": whose_requests,
        "seen": seen,
        "made_at": format_time(eligibility.checked_at),
    }


def _tables(report: Report, line: Sequence[Moment]) -> Iterator[_Table]:
    now = report.eligibility.checked_at
    if report.deployments or not report.covers_jobs:
        yield _Table(
            "Deployments that end when nobody calls them",
            ("Deployment", "Resource", "End", "Last call", "Retirement"),
            [
                (
                    each.name,
                    each.resource,
                    end_in_words(each, now),
                    format_time(each.last_call) if each.last_call is not None else "",
                    retirement_in_words(each),
                )
                for each in report.deployments
            ],
            "No deployment is known that ends when nobody calls it.",
        )
    if report.covers_jobs:
        dates = [(each.when, each.text, each.distance(now)) for each in line]
        yield _Table("Dates", ("Date", "What", "When"), dates, "")
        ending = [each for each in report.in_use if each.record.shutdown is not None]
        ending.sort(key=lambda each: (each.record.days_left or 0, -(each.requests or 0)))
        no_call = "No model that ends is known to be called."
        yield _Table("Still called, and ending", _CALLED, _cells(ending, _CALLED), no_call)
        known = _cells(report.models, _KNOWN)
        yield _Table("All models, by their end", _KNOWN, known, "No model is known.")


def _cells(models: Sequence[ReportedModel], headings: tuple[str, ...]) -> list[tuple[str, ...]]:
    return [tuple(row[each] for each in headings) for row in map(_row, models)]


def _row(model: ReportedModel) -> dict[str, str]:
    record = model.record
    shutdown, last, replacement = record.shutdown, record.last_inference, record.replacement or ""
    not_read = "not read" if model.requests is None else ""
    return {
        "Model": quoted(record.id),
        "Ends": str(shutdown.day) if shutdown is not None else "unknown",
        "When": days_away(record.days_left) if record.days_left is not None else "",
        "Date from": source_in_words(shutdown) if shutdown is not None else "",
        "Latest inference": format_time(last.at) if last is not None else "none known",
        f"Requests in {DAYS} days": not_read or f"{model.requests:,}",
        "Projects": ", ".join(model.projects) or not_read,
        "Replacement": with_ability(replacement, record.replacement_can_be_fine_tuned),
    }


def _chart(report: Report) -> dict[str, Any] | None:
    """Return the requests of each day as stacked bars, in the units of the drawing; None without any."""
    days = report.days
    most = max((sum(counts) for counts in zip(*report.requests.values(), strict=True)), default=0)
    if not most:
        return None
    top = _round_up(most)
    slot, floor = (_WIDTH - _LEFT - _RIGHT) / len(days), _HEIGHT - _BOTTOM
    scale = (floor - _TOP) / top
    bars = []
    for index, day in enumerate(days):
        below, left = 0, _LEFT + index * slot + 1
        for number, (name, counts) in enumerate(report.requests.items()):
            if used := counts[index]:
                below += used
                title = f"{day}: {counted(used, 'request')}, {name}"
                bars.append((number, left, floor - below * scale, slot - 2, used * scale, title))
    values = [top * step // _TICKS for step in range(_TICKS + 1)]
    labelled = [index for index in range(len(days)) if (len(days) - 1 - index) % _EACH_LABEL == 0]
    return {
        "bars": bars,
        "ticks": [(value, floor - value * scale) for value in values],
        "labels": [(days[index], _LEFT + (index + 0.5) * slot) for index in labelled],
        "total": counted(sum(map(sum, report.requests.values())), "request"),
    }


def _round_up(most: int) -> int:
    """Round ``most`` up to a number that the ticks divide."""
    size = int(10 ** max(0, len(str(most)) - 2))
    return next(_TICKS * step * size for step in _STEPS if _TICKS * step * size >= most)
