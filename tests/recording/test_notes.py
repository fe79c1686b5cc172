"""What was seen and isn't written yet."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

from finetune_guard.domain.history import Evidence, History, Source
from finetune_guard.recording.notes import Notes, told

MODEL = "ft:gpt-4o-mini-2024-07-18:acme::AbC123xY"
SEEN, SENT = (MODEL, Source.OBSERVED), (MODEL, Source.KEEP_ALIVE)
NOON = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)
DAY = date(2026, 11, 22)
EMPTY = History(evidence=Evidence(organization="acme-28gund"))


def test_inferences_add_up_and_the_latest_time_stays():
    """Counts of a day are added, and an earlier time arriving later moves nothing back."""
    notes = Notes()
    assert notes.add(SEEN, NOON, DAY) is True
    assert notes.add(SEEN, NOON - timedelta(hours=1), DAY) is False
    notes.add(SEEN, NOON + timedelta(days=1), DAY + timedelta(days=1), 3)
    (activity,) = notes.activities("acme-28gund")
    assert NOON + timedelta(days=1) == activity.inference.at
    assert {DAY: 2, DAY + timedelta(days=1): 3} == activity.counts


def test_notes_are_false_when_there_is_nothing_in_them():
    """Only notes with something to write count."""
    assert not Notes()
    assert Notes(told=EMPTY)
    assert Notes(names={"org-1"})
    notes = Notes()
    notes.add(SEEN, NOON, DAY)
    assert notes


def test_a_part_can_be_taken_out():
    """What is written is taken out with the evidence; the rest stays."""
    notes = Notes()
    notes.add(SEEN, NOON, DAY)
    notes.add(SENT, NOON, DAY)
    notes.learn(EMPTY, ["org-1"])
    taken = notes.split([SENT])
    assert ([SENT], EMPTY, {"org-1"}) == (list(taken.tallies), taken.told, taken.names)
    assert ([SEEN], None, set()) == (list(notes.tallies), notes.told, notes.names)


def test_what_was_taken_out_can_be_put_back():
    """What a store refused is added to what was noted meanwhile; nothing is lost or doubled."""
    notes, refused = Notes(), Notes()
    refused.add(SEEN, NOON, DAY, 2)
    refused.learn(told(fine_tuned_by=NOON), ["org-1"])
    notes.add(SEEN, NOON + timedelta(hours=1), DAY)
    notes.learn(told(no_trace_at=NOON), ["proj_1"])
    notes.take(refused)
    notes.take(Notes())
    (activity,) = notes.activities("acme-28gund")
    assert (NOON + timedelta(hours=1), {DAY: 3}) == (activity.inference.at, activity.counts)
    assert (NOON, NOON) == (notes.told.evidence.fine_tuned_by, notes.told.evidence.no_trace_at)
    assert {"org-1", "proj_1"} == notes.names


def test_what_is_noted_counts_in_evidence_and_history_before_it_is_written():
    """A decision and the history see what the store doesn't hold yet."""
    notes = Notes()
    notes.add(SEEN, NOON, DAY)
    history = notes.added_to_history(EMPTY)
    assert NOON == notes.added_to(EMPTY.evidence).last_inference.at == history.last_inference.at
    assert {DAY: {Source.OBSERVED: 1}} == history.daily
    notes.learn(told(no_trace_at=NOON), ["proj_1"])
    assert (
        NOON
        == notes.added_to(EMPTY.evidence).no_trace_at
        == notes.added_to_history(history).evidence.no_trace_at
    )


def test_what_was_told_gets_the_name_of_its_organization():
    """A store is handed what was told under the name that the history has."""
    notes = Notes()
    assert notes.told_of("acme-28gund") is None
    notes.learn(told(fine_tuned_by=NOON))
    assert Evidence(organization="acme-28gund", fine_tuned_by=NOON) == notes.told_of("acme-28gund").evidence
