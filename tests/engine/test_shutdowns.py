"""The ends of models: what is said before a job, while a model is in use, and after its end."""

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
from tests.support.http import HTTP

BASE = "gpt-4o-mini-2024-07-18"  # it and its fine-tunes end on January 14, 2027, by the table
MODEL = f"ft:{BASE}:acme::AbC123xY"
NANO = "gpt-4.1-nano-2025-04-14"  # it ended on October 23, 2026
NOW = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)
DAY = timedelta(days=1)
SHUTDOWN = datetime(2027, 1, 14, tzinfo=timezone.utc)


def ends(store=None, **fields):
    return ModelEnds(GuardConfig(store="memory", **fields), MemoryStore() if store is None else store)


def before_job(known, model, now):
    """Do as the guard does before a job: raise what stops it, return what is warned about."""
    error = known.stops(model, now)
    if error is not None:
        raise error
    return known.short_lived(model, now)


def said(day: str | None, at: datetime = NOW) -> Announced:
    return Announced(day=date.fromisoformat(day) if day is not None else None, seen_at=at)


class Broken(MemoryStore):
    """A store of a program's own, which can fail in any way."""

    location = "nowhere"

    def announced(self):
        raise RuntimeError("the network is gone")

    def announce(self, announced):
        raise StoreError("the disk is full")


# Before a job.


def test_a_fine_tune_that_would_not_live_long_is_warned_about():
    """The warning names the model, what is left, the day with its source, and what comes after."""
    warning = before_job(ends(), BASE, NOW)
    assert isinstance(warning, ShortLivedModelWarning)
    expected = (
        f"A fine-tune of {BASE} made now would live for about 52 days: it is shut down on 2027-01-14 "
        "(according to finetune-guard's table of 2026-11-22).\n"
        "Plan the move to another model before that. The published replacement is gpt-6-luna, which can't be "
        "fine-tuned."
    )
    assert expected == str(warning)


def test_it_is_said_once_for_each_model():
    """A program that creates many jobs is warned once about each base."""
    known = ends()
    assert before_job(known, BASE, NOW) is not None
    assert before_job(known, BASE, NOW + DAY) is None
    assert before_job(known, "gpt-4.1-2025-04-14", NOW) is not None


def test_what_is_warned_about_is_bounded():
    """Names without end don't take memory without end."""
    known = ends()
    known._warned.update(map(str, range(10_000)))
    assert before_job(known, BASE, NOW) is not None
    assert 10_000 == len(known._warned)


@pytest.mark.parametrize(
    ("now", "warned"), [(SHUTDOWN - 90 * DAY, False), (SHUTDOWN - 90 * DAY + timedelta(seconds=1), True)]
)
def test_it_is_said_below_the_lifetime_that_is_set(now, warned):
    """Ninety days by default, to the second."""
    assert warned == (before_job(ends(), BASE, now) is not None)


def test_nothing_is_said_where_the_warning_is_off():
    """``warn_below_lifetime=None`` is silent, whatever little is left."""
    known = ends(warn_below_lifetime=None)
    assert before_job(known, BASE, NOW) is None
    assert before_job(known, BASE, SHUTDOWN) is None


@pytest.mark.parametrize("model", ["gpt-9-2030-01-01", "gpt-6-luna", "ft:gpt-9:acme::x", "", "\x00", "ft:"])
def test_nothing_is_said_of_a_base_whose_end_is_unknown(model):
    """Where no source tells a date there is no warning, and no minimum can be missed."""
    assert before_job(ends(min_model_lifetime=1000 * DAY), model, NOW) is None


def test_a_fine_tune_as_a_base():
    """Continued training is judged by the end of the fine-tune's own base."""
    warning = before_job(ends(), MODEL, NOW)
    assert f"A fine-tune of {MODEL} made now would live for about 52 days" in str(warning)


def test_a_minimum_stops_the_job():
    """With ``min_model_lifetime`` it is an error, each time, with the date as a value."""
    known = ends(min_model_lifetime=60 * DAY)
    for _ in range(2):
        with pytest.raises(ShortLivedModelError) as caught:
            before_job(known, BASE, NOW)
    error = caught.value
    assert (BASE, date(2027, 1, 14), DateSource.TABLE) == (
        error.model,
        error.shutdown.day,
        error.shutdown.source,
    )
    assert "less than the 60 days of min_model_lifetime" in str(error)
    assert error.remedy.startswith("To create it anyway, lower GuardConfig(min_model_lifetime=...)")
    assert str(error).endswith(error.remedy)


def test_a_minimum_that_is_met_still_warns():
    """What is long enough for the minimum may be short enough for the warning."""
    assert before_job(ends(min_model_lifetime=30 * DAY), BASE, NOW) is not None


@pytest.mark.parametrize("model", [NANO, f"ft:{NANO}:acme::x"])
def test_a_base_that_is_gone_stops_the_job(model):
    """The error names the day, its source, and the bases that can still be had."""
    with pytest.raises(BaseModelShutDownError) as caught:
        before_job(ends(warn_below_lifetime=None), model, NOW)
    error = caught.value
    assert (model, date(2026, 10, 23)) == (error.model, error.shutdown.day)
    assert f"The fine-tuning job was not created: {model} is shut down" in str(error)
    assert "2026-10-23 (according to finetune-guard's table of 2026-11-22)" in str(error)
    assert error.remedy.startswith("Use a base model that is not shut down: gpt-4o-2024-08-06, ")
    assert NANO not in error.remedy


@pytest.mark.parametrize(("days", "stopped"), [(-1, False), (0, False), (1, False), (2, True)])
def test_a_base_is_gone_when_even_the_day_after_has_passed(days, stopped):
    """Published days are give or take one: on the day itself and the next the API decides."""
    known, now = ends(), SHUTDOWN + days * DAY
    if stopped:
        with pytest.raises(BaseModelShutDownError):
            before_job(known, BASE, now)
    else:
        assert "would live for less than a day" in str(before_job(known, BASE, now)) or days < 0


def test_a_base_that_is_gone_after_its_fine_tunes_end_was_announced():
    """A base can end before its fine-tunes do: no new one can be made from it."""
    with pytest.raises(BaseModelShutDownError, match=r"2026-09-28.*2026-10-23"):
        before_job(ends(), "gpt-3.5-turbo-1106", datetime(2026, 10, 10, tzinfo=timezone.utc))


# What the API says.


def test_the_apis_date_beats_the_table():
    """A date that the API has told counts, sooner or later than the table's, and is said to be the API's."""
    known = ends()
    known.learn({BASE: said("2026-11-01")})
    with pytest.raises(BaseModelShutDownError, match=r"2026-11-01 \(according to the API on 2026-11-22; "):
        before_job(known, BASE, NOW)
    known.learn({BASE: said("2028-01-01", NOW + DAY)})
    assert before_job(known, BASE, NOW) is None


def test_a_date_of_the_base_counts_for_its_fine_tunes():
    """What the API says of a base is said to be of the base."""
    known = ends()
    known.learn({BASE: said("2026-12-01")})
    told = (
        "2026-12-01 (according to the API for the base model, on 2026-11-22; finetune-guard's table of "
        "2026-11-22 says 2027-01-14)"
    )
    assert told in str(before_job(known, BASE, NOW))
    assert told in str(known.in_use(MODEL, NOW))


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


def test_an_installed_litellms_table_counts_before_ours(litellm):
    """It is read without importing litellm, the disagreement is told, and one table alone stops no job."""
    litellm(**{BASE: "2026-11-01", f"ft_{BASE}": "2026-12-12"})
    known = ends(min_model_lifetime=30 * DAY)
    told = (
        "2026-12-12 (according to the installed litellm's table; finetune-guard's table of 2026-11-22 says "
        "2027-01-14)"
    )
    assert told in str(before_job(known, BASE, NOW))
    assert told in str(known.in_use(MODEL, NOW))


def test_what_litellms_table_alone_tells_stops_no_job(litellm):
    """A base that our table doesn't have is warned about by litellm's day, and the API decides."""
    litellm(**{"gpt-9": "2026-11-01"})
    known = ends(min_model_lifetime=30 * DAY)
    assert "2026-11-01 (according to the installed litellm's table)" in str(before_job(known, "gpt-9", NOW))


def test_dates_of_all_models_are_read_by_a_thread(litellm):
    """With ``warn_models="all"`` no call waits for litellm's table; the warning comes once it is read."""
    litellm(**{"gpt-5": "2026-12-11"})
    known = ends(warn_models="all")
    warned = known.in_use("gpt-5", NOW)
    give_up = time.monotonic() + 60
    while warned is None and time.monotonic() < give_up:
        time.sleep(0.01)
        warned = known.in_use("gpt-5", NOW)
    assert "gpt-5 will be shut down in 19 days, on 2026-12-11" in str(warned)
    assert known.in_use("gpt-5", NOW) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"a": 1}'])
def test_a_damaged_table_of_litellm_is_passed_over(litellm, text):
    """Whatever stands there, ours is used."""
    litellm().write_text(text)
    known = ends()
    assert DateSource.TABLE is known.read(NOW).of(BASE).source


def test_the_users_own_date_stops_and_warns():
    """What the configuration says of a base counts for jobs and for models in use; None says no end."""
    known = ends(model_dates={BASE: None})
    assert before_job(known, BASE, SHUTDOWN + 9 * DAY) is None
    assert known.in_use(MODEL, SHUTDOWN - DAY) is None
    known = ends(model_dates={BASE: date(2026, 11, 1)})
    with pytest.raises(BaseModelShutDownError, match=r"2026-11-01 \(according to GuardConfig\(model_dates"):
        before_job(known, BASE, NOW)


def test_a_null_date_leaves_the_table():
    """The API's ``null`` tells nothing, neither of a base nor of a fine-tune."""
    known = ends()
    known.learn({BASE: said(None), MODEL: said(None)})
    assert date(2027, 1, 14) == known.dates.of(MODEL).day
    assert DateSource.TABLE is known.dates.of(BASE).source


def test_a_null_takes_back_what_the_api_said_before():
    """When the API no longer gives a date, the table's counts again."""
    known = ends()
    known.learn({BASE: said("2026-12-01")})
    known.learn({BASE: said(None, NOW + DAY)})
    assert date(2027, 1, 14) == known.dates.of(BASE).day


# What the store remembers.


@pytest.fixture(params=["memory", "disk"])
def store(request, tmp_path):
    return MemoryStore() if request.param == "memory" else DiskStore(tmp_path / "history")


def test_what_is_remembered_is_known_to_the_next_process(store):
    """Another process judges by the dates that the API told this one."""
    ends(store).remember({BASE: said("2026-11-01"), NANO: said(None), "gpt-9": said("2030-01-01")})
    with pytest.raises(BaseModelShutDownError, match="according to the API on"):
        before_job(ends(store), BASE, NOW)
    assert date(2030, 1, 1) == ends(store).prospect("gpt-9", NOW).base_shutdown.day


def test_nulls_are_remembered_only_where_they_take_something_back(store):
    """The list has dozens of models without a date; none of them needs a row."""
    ends(store).remember({BASE: said("2026-12-01"), "gpt-9": said(None)})
    assert {BASE} == set(store.announced())
    ends(store).remember({BASE: said(None, NOW + DAY)})
    assert date(2027, 1, 14) == ends(store).prospect(BASE, NOW).base_shutdown.day


def test_nothing_is_written_where_nothing_was_said(tmp_path):
    """Reading dates, or remembering none, creates no file."""
    known = ends(DiskStore(tmp_path / "history"))
    known.remember({BASE: said(None)})
    before_job(known, BASE, NOW)
    assert [] == list(tmp_path.iterdir())


def test_the_store_is_read_again_after_an_hour():
    """What another process learns is known here an hour later at the latest; in between nothing is read."""
    store = MemoryStore()
    known = ends(store)
    assert date(2027, 1, 14) == known.read(NOW).of(BASE).day
    store.announce({BASE: said("2026-12-01")})
    assert date(2027, 1, 14) == known.read(NOW + timedelta(hours=1)).of(BASE).day
    assert date(2026, 12, 1) == known.read(NOW + timedelta(hours=1, seconds=1)).of(BASE).day


def test_a_clock_that_is_turned_back_reads_again():
    """A clock that was ahead doesn't keep the store from being read."""
    store = MemoryStore()
    known = ends(store)
    known.read(NOW + 100 * DAY)
    store.announce({BASE: said("2026-12-01")})
    assert date(2026, 12, 1) == known.read(NOW).of(BASE).day


def test_a_store_that_fails_is_done_without(caplog):
    """The table is used, the log says so once, and a job is judged as ever."""
    known = ends(Broken())
    with caplog.at_level(logging.WARNING, "finetune_guard"):
        for hour in range(3):
            known.read(NOW + timedelta(hours=2 * hour))
        assert before_job(known, BASE, NOW) is not None
        with pytest.raises(BaseModelShutDownError):
            before_job(known, NANO, NOW)
    (record,) = caplog.records
    assert "can't read the shutdown dates at nowhere and uses those that it came with" in record.getMessage()


def test_what_can_not_be_remembered_is_known_here():
    """Where the store can't be read or written that is raised, and this process knows the dates still."""
    for error, broken in (
        (RuntimeError, Broken()),
        (StoreError, type("X", (Broken,), {"announced": dict})()),
    ):
        known = ends(broken)
        with pytest.raises(error):
            known.remember({BASE: said("2026-12-01")})
        assert date(2026, 12, 1) == known.dates.of(BASE).day


# While a model is in use.


@pytest.mark.parametrize(("days_left", "warned"), [(31, False), (30, True), (1, True), (0, True), (-5, True)])
def test_a_model_in_use_is_warned_about_thirty_days_before_its_end(days_left, warned):
    """From the thirtieth day before its published end on, as long as it answers."""
    warning = ends().in_use(MODEL, SHUTDOWN + timedelta(hours=12) - days_left * DAY)
    assert warned == isinstance(warning, ModelSunsetWarning)


def test_a_sunset_is_told_with_its_date_and_what_comes_after():
    """The warning names the model, the days left, the date with its source, and the replacement."""
    expected = (
        f"{MODEL} will be shut down in 12 days, on 2027-01-14 (according to finetune-guard's table of "
        "2026-11-22).\nCalls go on until then. Plan the move to another model. The published replacement is "
        "gpt-6-luna, which can't be fine-tuned."
    )
    assert expected == str(ends().in_use(MODEL, SHUTDOWN - 12 * DAY))


def test_a_model_is_warned_about_once_a_day():
    """A thousand calls on one day warn once, the first of the next day again; each model for itself."""
    known, now = ends(), SHUTDOWN - 12 * DAY
    assert known.in_use(MODEL, now) is not None
    assert all(known.in_use(MODEL, now + timedelta(minutes=minute)) is None for minute in range(1_000))
    assert known.in_use(MODEL, now + DAY) is not None
    assert known.in_use(f"{MODEL}:ckpt-step-16", now + DAY) is not None


def test_news_are_told_on_the_same_day():
    """A date that the API tells in between is warned about at the next call."""
    known = ends()
    assert known.in_use(MODEL, NOW) is None
    known.learn({BASE: said("2026-12-01")})
    assert known.in_use(MODEL, NOW) is not None


@pytest.mark.parametrize("model", ["ft:gpt-9:acme::x", "davinci:ft-acme-2022-12-22-07-26-01"])
def test_nothing_is_said_of_a_model_whose_end_is_unknown(model):
    """Where no source tells a date there is nothing to warn about."""
    assert ends().in_use(model, NOW) is None


def test_models_in_use_are_bounded():
    """Ids without end don't take memory without end."""
    known = ends()
    for number in range(10_100):
        known.in_use(f"ft:gpt-9:acme::{number}", NOW)
    assert len(known._looked_at) <= 10_000


def test_no_store_is_asked_while_a_model_is_in_use():
    """An inference never waits for a store."""
    known = ends(Broken())
    assert known.in_use(MODEL, SHUTDOWN - 12 * DAY) is not None
    assert known.gone(not_found(), MODEL, SHUTDOWN) is not None


# After its end.


def not_found(code: object = "model_not_found") -> openai.NotFoundError:
    request = HTTP.Request("POST", "https://api.openai.com/v1/chat/completions")
    response = HTTP.Response(404, request=request, headers={"x-request-id": "req_1"})
    return openai.NotFoundError("gone", response=response, body={"code": code, "message": "deprecated"})


def test_a_404_after_the_end_is_explained():
    """The error is the API's, with its response, and says which day has come and what to call instead."""
    original = not_found()
    error = ends().gone(original, MODEL, SHUTDOWN)
    assert isinstance(error, openai.NotFoundError)
    assert (original.response, original.body, "model_not_found", "req_1", 404) == (
        error.response,
        error.body,
        error.code,
        error.request_id,
        error.status_code,
    )
    assert (MODEL, date(2027, 1, 14)) == (error.model, error.shutdown.day)
    expected = (
        f"{MODEL} does not answer any more: the API can't find it, and its shutdown day has come.\n"
        "Evidence: its shutdown day is 2027-01-14 (according to finetune-guard's table of 2026-11-22). "
        "Published days can be off by one.\n"
        "What to do: Call another model. The published replacement is gpt-6-luna, which can't be "
        "fine-tuned."
    )
    assert expected == str(error)
    assert error.remedy.startswith("Call another model. ")


@pytest.mark.parametrize(("days", "explained"), [(-2, False), (-1, True), (0, True), (400, True)])
def test_a_404_before_the_end_is_left_alone(days, explained):
    """A model may go a day early; before that a 404 means something else."""
    assert explained == (ends().gone(not_found(), MODEL, SHUTDOWN + days * DAY) is not None)


@pytest.mark.parametrize("code", [None, "invalid_url", "fine_tune_not_found", 404, ["model_not_found"]])
def test_another_404_is_left_alone(code):
    """Only ``model_not_found`` speaks of the model."""
    assert ends().gone(not_found(code), MODEL, SHUTDOWN) is None


def test_a_404_of_a_model_without_a_date_is_left_alone():
    """Without a date nothing can be said."""
    assert ends().gone(not_found(), "ft:gpt-9:acme::x", SHUTDOWN) is None


def test_a_404_by_a_date_of_the_api():
    """The API's own date explains its 404 as well as the table's does."""
    known = ends()
    known.learn({BASE: said("2026-11-20")})
    assert "according to the API for the base model" in str(known.gone(not_found(), MODEL, NOW))
