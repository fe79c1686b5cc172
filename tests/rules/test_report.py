"""What a report tells of an organization's models and their requests."""

from __future__ import annotations

from datetime import date, timedelta

from finetune_guard.domain.catalog import published_catalog
from finetune_guard.domain.facts import Activity, ModelRequests
from finetune_guard.domain.history import History
from finetune_guard.domain.shutdowns import ShutdownDates
from finetune_guard.openai_api.listing import Listing
from finetune_guard.rules.inventory import build_inventory
from finetune_guard.rules.report import DAYS, Report, build_report
from tests.openai_api.flow_scripts import NOW
from tests.support.constants import BASE
from tests.support.facts import decided, known, ran

TODAY = NOW.date()
MODELS = tuple(f"ft:{BASE}:acme::M{number}" for number in range(8))
ENDED = "ft:gpt-4-0613:acme::Gone"
UNDATED = "ft:gpt-9:acme::Undated"


def usage_row(model: str, days_ago: int, project: str | None = "proj_a", requests: int = 1) -> ModelRequests:
    return ModelRequests(TODAY - timedelta(days=days_ago), model, project, requests)


def make_report(history: History, usage: list[ModelRequests] | None, *, asked: bool = False) -> Report:
    listing = Listing(created=dict.fromkeys((*MODELS, ENDED, UNDATED)))
    inventory = build_inventory(listing, history, ShutdownDates(published_catalog()), NOW)
    return build_report(decided(NOW), inventory, history, usage, asked=asked)


def history_with(*activities: tuple[str, int, int]) -> History:
    history = History(evidence=known())
    for model, days_ago, count in activities:
        at = NOW - timedelta(days=days_ago)
        history = history.recorded(Activity(inference=ran(at, model), counts={at.date(): count}))
    return history


def test_report_without_usage_shows_the_historys_counts() -> None:
    report = make_report(
        history_with((MODELS[0], 0, 3), (MODELS[1], DAYS, 5), (ENDED, 1, 1), (UNDATED, 2, 2)), None
    )
    assert (None, False) == (report.complete, report.whole_organization)
    assert {"all models"} == set(report.requests)
    assert (0, 2, 1, 3) == report.requests["all models"][-4:]
    assert 6 == sum(report.requests["all models"])
    assert {MODELS[0], UNDATED} == {model.record.id for model in report.in_use}
    assert {None} == {model.requests for model in report.models}


def test_report_without_evidence_has_no_chart() -> None:
    report = make_report(history_with(), None, asked=True)
    assert ({}, True, None) == (report.requests, report.complete, report.last_job_at)
    assert report.covers_jobs


def test_report_with_usage_shows_requests_by_model_and_project() -> None:
    usage = [
        usage_row(MODELS[0], 0, "proj_a", 2),
        usage_row(MODELS[0], 3, "proj_b", 5),
        usage_row(MODELS[0], 3, None, 1),
        usage_row(MODELS[1], DAYS, "proj_a", 9),
    ]
    report = make_report(history_with(), usage)
    first, second = (next(model for model in report.models if model.record.id == name) for name in MODELS[:2])
    assert (8, ("proj_b", "proj_a"), True) == (first.requests, first.projects, first.in_use)
    assert (0, (), False) == (second.requests, second.projects, second.in_use)
    assert [MODELS[0]] == list(report.requests)
    assert (date.fromordinal(TODAY.toordinal() - DAYS + 1), TODAY) == (report.days[0], report.days[-1])


def test_chart_joins_the_least_used_models_and_keeps_the_sums() -> None:
    report = make_report(
        history_with(), [usage_row(model, 0, requests=10 - n) for n, model in enumerate(MODELS)]
    )
    assert [*MODELS[:5], "other models"] == list(report.requests)
    assert sum(10 - n for n in range(8)) == sum(counts[-1] for counts in report.requests.values())
