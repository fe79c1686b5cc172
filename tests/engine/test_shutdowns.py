"""Shutdowns of models: messages before a job, while a model is in use, and after its shutdown."""

from __future__ import annotations

import json
import logging
import time
from datetime import date, datetime, timedelta, timezone

import openai
import pytest

from finetune_guard.config import GuardConfig
from finetune_guard.domain.errors import (
    BaseModelShutDownError,
    ModelSunsetWarning,
    ShortLivedModelError,
    ShortLivedModelWarning,
    StoreError,
)
from finetune_guard.domain.shutdowns import Announced, DateSource
from finetune_guard.engine.shutdowns import ModelEnds
from finetune_guard.stores.disk.store import DiskStore
from finetune_guard.stores.memory import MemoryStore
from tests.support.constants import BASE, DAY, HOUR, NOW
from tests.support.http import HTTP

MODEL = f"ft:{BASE}:acme::AbC123xY"
NANO = "gpt-4.1-nano-2025-04-14"  # it ended on October 23, 2026
SHUTDOWN = datetime(2027, 1, 14, tzinfo=timezone.utc)  # of BASE and its fine-tunes, by the table
NOVEMBER = date(2026, 11, 1)


def make_shutdowns(store=None, **fields):
    return ModelEnds(GuardConfig(store="memory", **fields), MemoryStore() if store is None else store)


def before_job(ends_of_models, model=BASE, now=NOW):
    """What the guard would stop a job by, or else warn about before it."""
    return ends_of_models.lifetime_error(model, now) or ends_of_models.lifetime_warning(model, now)


def announced_day(day: str | None, at: datetime = NOW) -> Announced:
    return Announced(day=date.fromisoformat(day) if day is not None else None, seen_at=at)


class BrokenStore(MemoryStore):
    """A store of a program's own, which can fail in any way."""

    location = "nowhere"

    def announced(self):
        raise RuntimeError("the network is gone")

    def announce(self, announced):
        raise StoreError("the disk is full")


SILENT, PATIENT = {"warn_below_lifetime": None}, {"min_model_lifetime": 1000 * DAY}


@pytest.mark.parametrize(
    ("fields", "model", "now", "kind"),
    [
        ({}, BASE, NOW, ShortLivedModelWarning),
        ({}, MODEL, NOW, ShortLivedModelWarning),
        ({}, BASE, SHUTDOWN - 90 * DAY, None),
        ({}, BASE, SHUTDOWN - 90 * DAY + timedelta(seconds=1), ShortLivedModelWarning),
        (SILENT, BASE, SHUTDOWN, None),
        ({}, BASE, SHUTDOWN + DAY, ShortLivedModelWarning),
        ({}, BASE, SHUTDOWN + 2 * DAY, BaseModelShutDownError),
        (SILENT, NANO, NOW, BaseModelShutDownError),
        (SILENT, f"ft:{NANO}:acme::x", NOW, BaseModelShutDownError),
        ({}, "gpt-3.5-turbo-1106", datetime(2026, 10, 10, tzinfo=timezone.utc), BaseModelShutDownError),
        ({"min_model_lifetime": 60 * DAY}, BASE, NOW, ShortLivedModelError),
        ({"min_model_lifetime": 30 * DAY}, BASE, NOW, ShortLivedModelWarning),
        *(
            (PATIENT, model, NOW, None)
            for model in ("gpt-9-2030-01-01", "ft:gpt-9:acme::x", "", "\x00", "ft:")
        ),
        ({"model_dates": {BASE: None}}, BASE, SHUTDOWN + 9 * DAY, None),
        ({"model_dates": {BASE: NOVEMBER}}, BASE, NOW, BaseModelShutDownError),
    ],
)
def test_job_is_stopped_or_warned_about_by_its_bases_shutdown(fields, model, now, kind):
    """A surely shut-down or too short-lived base stops the job; below 90 days there is a warning."""
    result = before_job(make_shutdowns(**fields), model, now)
    assert (type(None) if kind is None else kind) is type(result)
    if isinstance(result, Exception) and not isinstance(result, Warning):
        assert (model, True) == (result.model, str(result).endswith(result.remedy))
        assert result.shutdown.day <= SHUTDOWN.date()


def test_each_base_is_warned_about_once_in_bounded_memory():
    known = make_shutdowns()
    assert before_job(known) is not None
    assert before_job(known, now=NOW + DAY) is None
    assert before_job(known, "gpt-4.1-2025-04-14") is not None
    known._warned.update(dict.fromkeys(map(str, range(10_000 - len(known._warned))), True))
    assert before_job(known, "gpt-4.1-mini-2025-04-14") is not None
    assert 10_000 >= len(known._warned)


def test_date_from_the_api_stops_or_frees_later_jobs():
    """It holds for the base's fine-tunes too, and a later null removes it."""
    known = make_shutdowns()
    known.learn({BASE: announced_day("2026-11-01")})
    assert "2026-11-01 (according to the API on 2026-11-22; " in str(before_job(known))
    assert "according to the API for the base model" in str(known.shutdown_error(not_found(), MODEL, NOW))
    known.learn({BASE: announced_day("2028-01-01", NOW + DAY)})
    assert before_job(known) is None
    known.learn({BASE: announced_day(None, NOW + 2 * DAY)})
    assert date(2027, 1, 14) == known.dates.shutdown_of(MODEL).day


@pytest.fixture
def litellm(tmp_path, monkeypatch):
    """Installs a litellm with this table beside everything else; its code can't be imported."""

    def install(**models):
        (tmp_path / "litellm").mkdir(exist_ok=True)
        (tmp_path / "litellm" / "__init__.py").write_text("raise AssertionError('it was imported')")
        table = tmp_path / "litellm" / "model_prices_and_context_window_backup.json"
        rows = {
            name.replace("_", ":"): {"litellm_provider": "openai", "deprecation_date": day}
            for name, day in models.items()
        }
        table.write_text(json.dumps(rows))
        about = tmp_path / "litellm-1.0.dist-info"
        about.mkdir(exist_ok=True)
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: litellm\nVersion: 1.0\n")
        monkeypatch.syspath_prepend(tmp_path)
        return table

    return install


def test_litellm_table_counts_before_ours_without_importing_litellm(litellm):
    """The disagreement is reported, and one table alone stops no job."""
    litellm(**{BASE: "2026-11-01", f"ft_{BASE}": "2026-12-12", "gpt-9": "2026-11-01"})
    known = make_shutdowns(min_model_lifetime=30 * DAY)
    expected = (
        "2026-12-12 (according to the installed litellm's table; finetune-guard's table of 2026-11-22 says"
    )
    for warning, words in (
        (before_job(known), expected),
        (known.sunset_warning(MODEL, NOW), expected),
        (before_job(known, "gpt-9"), "2026-11-01 (according to the installed litellm's table)"),
    ):
        assert isinstance(warning, Warning)
        assert words in str(warning)
    prospects = [known.prospect(name, NOW) for name in (BASE, "gpt-9")]
    assert [True, None] == [prospect.lives_for(30 * DAY) for prospect in prospects]
    assert [False, False] == [prospect.is_shut_down(NOW.date()) for prospect in prospects]


def test_warn_models_all_reads_litellms_table_in_a_thread(litellm):
    """No call waits for it; the warning comes once it is read."""
    litellm(**{"gpt-5": "2026-12-11"})
    known = make_shutdowns(warn_models="all")
    give_up = time.monotonic() + 60
    while (warned := known.sunset_warning("gpt-5", NOW)) is None and time.monotonic() < give_up:
        time.sleep(0.01)
    assert "gpt-5 will be shut down in 19 days, on 2026-12-11" in str(warned)
    assert known.sunset_warning("gpt-5", NOW) is None


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 1}'])
def test_damaged_litellm_table_is_ignored(litellm, text):
    litellm().write_text(text)
    assert DateSource.TABLE is make_shutdowns().read(NOW).shutdown_of(BASE).source


@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_next_process_uses_the_remembered_dates(kind, tmp_path):
    """Nulls only remove something."""
    store = MemoryStore() if kind == "memory" else DiskStore(tmp_path / "history")
    make_shutdowns(store).store_announced({BASE: announced_day(None)})
    assert before_job(make_shutdowns(store)) is not None
    assert [] == list(tmp_path.iterdir())
    make_shutdowns(store).store_announced(
        {BASE: announced_day("2026-11-01"), NANO: announced_day(None), "gpt-9": announced_day("2030-01-01")}
    )
    assert {BASE, "gpt-9"} == set(store.announced())
    assert "according to the API on" in str(make_shutdowns(store).lifetime_error(BASE, NOW))
    make_shutdowns(store).store_announced({BASE: announced_day(None, NOW + DAY)})
    assert date(2027, 1, 14) == make_shutdowns(store).prospect(BASE, NOW).base_shutdown.day


def test_store_is_read_again_after_an_hour_or_when_the_clock_goes_back():
    store = MemoryStore()
    known, ahead = make_shutdowns(store), make_shutdowns(store)
    known.read(NOW)
    ahead.read(NOW + 100 * DAY)
    store.announce({BASE: announced_day("2026-12-01")})
    assert date(2027, 1, 14) == known.read(NOW + HOUR).shutdown_of(BASE).day
    assert date(2026, 12, 1) == known.read(NOW + HOUR + timedelta(seconds=1)).shutdown_of(BASE).day
    assert date(2026, 12, 1) == ahead.read(NOW).shutdown_of(BASE).day


def test_failing_store_is_logged_once_and_the_table_used(caplog):
    known = make_shutdowns(BrokenStore())
    with caplog.at_level(logging.WARNING, "finetune_guard"):
        for hours in range(0, 6, 2):
            known.read(NOW + hours * HOUR)
        assert isinstance(before_job(known), ShortLivedModelWarning)
        assert isinstance(before_job(known, NANO), BaseModelShutDownError)
    (record,) = caplog.records
    assert "can't read the shutdown dates at nowhere and uses its own table" in record.getMessage()
    unwritable = make_shutdowns(type("Unwritable", (BrokenStore,), {"announced": dict})())
    for error, shutdowns in ((RuntimeError, known), (StoreError, unwritable)):
        with pytest.raises(error):
            shutdowns.store_announced({BASE: announced_day("2026-12-01")})
        assert date(2026, 12, 1) == shutdowns.dates.shutdown_of(BASE).day


@pytest.mark.parametrize(
    ("days_left", "model", "warned"),
    [
        *((days, MODEL, days <= 30) for days in (31, 30, 0, -5)),
        (1, "ft:gpt-9:acme::x", False),
        (1, "davinci:ft-acme-2022-12-22-07-26-01", False),
    ],
)
def test_model_in_use_is_warned_about_from_thirty_days_before_shutdown(days_left, model, warned):
    """No store is asked."""
    warning = make_shutdowns(BrokenStore()).sunset_warning(model, SHUTDOWN + 12 * HOUR - days_left * DAY)
    assert warned == isinstance(warning, ModelSunsetWarning)


def test_each_model_is_warned_about_once_a_day():
    known, now = make_shutdowns(), SHUTDOWN - 12 * DAY
    assert known.sunset_warning(MODEL, now) is not None
    assert all(
        known.sunset_warning(MODEL, now + timedelta(minutes=minute)) is None for minute in range(1_000)
    )
    assert known.sunset_warning(MODEL, now + DAY) is not None
    assert known.sunset_warning(f"{MODEL}:ckpt-step-16", now + DAY) is not None
    for number in range(10_100):
        known.sunset_warning(f"ft:gpt-9:acme::{number}", NOW)
    assert len(known.checked_on) <= 10_000


def test_new_date_from_the_api_is_warned_about_on_the_same_day():
    known = make_shutdowns()
    assert known.sunset_warning(MODEL, NOW) is None
    for hours, is_news in ((0, True), (1, False)):
        known.learn({BASE: announced_day("2026-12-01", NOW + hours * HOUR)})
        assert is_news == (known.sunset_warning(MODEL, NOW) is not None)


def not_found(code: object = "model_not_found") -> openai.NotFoundError:
    request = HTTP.Request("POST", "https://api.openai.com/v1/chat/completions")
    response = HTTP.Response(404, request=request, headers={"x-request-id": "req_1"})
    return openai.NotFoundError("gone", response=response, body={"code": code, "message": "deprecated"})


@pytest.mark.parametrize(
    ("code", "model", "days", "explained"),
    [
        *(("model_not_found", MODEL, days, days >= -1) for days in (-2, -1, 400)),
        *((code, MODEL, 0, False) for code in (None, "fine_tune_not_found", 404, ["model_not_found"])),
        ("model_not_found", "ft:gpt-9:acme::x", 0, False),
    ],
)
def test_a_404_after_the_end_is_explained(code, model, days, explained):
    """A model may go a day early; before that, or with another code, a 404 means something else."""
    original = not_found(code)
    error = make_shutdowns(BrokenStore()).shutdown_error(original, model, SHUTDOWN + days * DAY)
    assert explained == isinstance(error, openai.NotFoundError)
    if error is not None:
        assert (original.response, original.body, code) == (error.response, error.body, error.code)
        assert (model, SHUTDOWN.date()) == (error.model, error.shutdown.day)
