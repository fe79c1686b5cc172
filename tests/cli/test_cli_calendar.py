from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import icalendar
import pytest

from finetune_guard import FineTuningRefusedError, OpenAI
from finetune_guard.simulator import Fault
from tests.support.constants import BASE


def read(result):
    """The calendar's events by their UID, as another program's parser reads them."""
    assert 0 == result.exit_code, result.output
    calendar = icalendar.Calendar.from_ical(result.stdout)
    return {str(event["uid"]): event for event in calendar.walk("VEVENT")}


def test_calendar_has_window_policy_and_model_dates_with_alarms(run, ask, model, clock):
    ask(model)
    clock.advance(timedelta(days=20))
    events = read(run("calendar"))
    assert {
        "window-acme-cli@finetune-guard": datetime(2026, 10, 2, 9, tzinfo=timezone.utc),
        "closing-everybody@finetune-guard": date(2027, 1, 6),
        "end-2027-01-14-acme-cli@finetune-guard": date(2027, 1, 14),
    } == {uid: event.decoded("dtstart") for uid, event in events.items()}
    for event in events.values():
        alarms = [alarm.decoded("trigger") for alarm in event.walk("VALARM")]
        assert [-timedelta(days=days) for days in (30, 15, 7, 1)] == alarms
    end = events["end-2027-01-14-acme-cli@finetune-guard"]
    assert model in str(end["description"]).splitlines()
    assert date(2027, 1, 15) == end.decoded("dtend")


def test_second_calendar_updates_the_same_events(run, ask, model, clock):
    """The sequence number is higher, so that a calendar replaces them."""
    first = read(run("calendar"))
    assert ["closing-everybody@finetune-guard"] == list(first)
    ask(model)
    before = read(run("calendar"))
    assert first.keys() < before.keys()
    clock.advance(timedelta(days=3))
    ask(model)
    name = "window-acme-cli@finetune-guard"
    before, after = before[name], read(run("calendar"))[name]
    assert timedelta(days=3) == after.decoded("dtstart") - before.decoded("dtstart")
    assert before["sequence"] < after["sequence"]


def test_window_after_the_end_of_job_creation_is_no_event(run, ask, model, clock):
    clock.advance(timedelta(days=120))
    ask(model)
    assert not any(uid.startswith("window-") for uid in read(run("calendar")))


def test_window_of_a_refused_organization_is_no_date(run, ask, model, sim, clock):
    ask(model)
    clock.advance(timedelta(days=1))
    sim.fault(Fault(path="/v1/fine_tuning/jobs", status=403, code="training_not_available"))
    with OpenAI() as client, pytest.raises(FineTuningRefusedError):
        client.fine_tuning.jobs.create(model=BASE, training_file="file-x")
    assert not any(uid.startswith("window-") for uid in read(run("calendar")))
    assert "the window closes" not in run("status").stdout


def test_calendar_without_dates_is_empty_and_stderr_says_why(run, clock):
    clock.advance(timedelta(days=400))
    result = run("calendar")
    assert {} == read(result)
    assert "no date is to come" in result.stderr
