"""What was seen and isn't written yet: all of it, and never more than fits into memory."""

from __future__ import annotations

from datetime import date, timedelta

from finetune_guard.domain.facts import Source
from finetune_guard.domain.history import Evidence, History
from finetune_guard.domain.organizations import Credentials, Subject
from finetune_guard.recording.pending import MOST_SUBJECTS, PendingFacts, PendingWrites, new_facts
from tests.support.constants import NOW

MODEL = "ft:gpt-4o-mini-2024-07-18:acme::AbC123xY"
SEEN, SENT = (MODEL, Source.OBSERVED, None), (MODEL, Source.KEEP_ALIVE, None)
DAY = date(2026, 11, 22)
EMPTY = History(evidence=Evidence(organization="acme-28gund"))


def test_counts_add_up_and_the_latest_time_stays():
    facts = PendingFacts()
    assert facts.record(SEEN, NOW, DAY) is True
    assert facts.record(SEEN, NOW - timedelta(hours=1), DAY) is False
    facts.record(SEEN, NOW + timedelta(days=1), DAY + timedelta(days=1), 3)
    (activity,) = facts.activities("acme-28gund")
    assert NOW + timedelta(days=1) == activity.inference.at
    assert {DAY: 2, DAY + timedelta(days=1): 3} == activity.counts


def test_empty_notes_are_false():
    assert not PendingFacts()
    assert PendingFacts(evidence=EMPTY)
    assert PendingFacts(names={"org-1"})
    facts = PendingFacts()
    facts.record(SEEN, NOW, DAY)
    assert facts


def test_part_can_be_taken_and_the_rest_stays():
    facts = PendingFacts()
    facts.record(SEEN, NOW, DAY)
    facts.record(SENT, NOW, DAY)
    facts.merge(EMPTY, ["org-1"])
    taken = facts.split([SENT])
    assert ([SENT], EMPTY, {"org-1"}) == (list(taken.tallies), taken.evidence, taken.names)
    assert ([SEEN], None, set()) == (list(facts.tallies), facts.evidence, facts.names)


def test_part_put_back_is_merged_with_newer_notes():
    facts, refused = PendingFacts(), PendingFacts()
    refused.record(SEEN, NOW, DAY, 2)
    refused.merge(new_facts(fine_tuned_by=NOW), ["org-1"])
    facts.record(SEEN, NOW + timedelta(hours=1), DAY)
    facts.merge(new_facts(no_trace_at=NOW), ["proj_1"])
    facts.add(refused)
    facts.add(PendingFacts())
    (activity,) = facts.activities("acme-28gund")
    assert (NOW + timedelta(hours=1), {DAY: 3}) == (activity.inference.at, activity.counts)
    assert (NOW, NOW) == (facts.evidence.evidence.fine_tuned_by, facts.evidence.evidence.no_trace_at)
    assert {"org-1", "proj_1"} == facts.names


def test_pending_notes_are_part_of_evidence_and_history():
    facts = PendingFacts()
    facts.record(SEEN, NOW, DAY)
    history = facts.added_to(EMPTY)
    assert (NOW, {DAY: {Source.OBSERVED: 1}}) == (history.last_inference.at, history.daily)
    facts.merge(new_facts(no_trace_at=NOW), ["proj_1"])
    assert NOW == facts.added_to(history).evidence.no_trace_at


def subject(number, organization="acme-28gund"):
    return Subject(organization, Credentials(f"Bearer {number}"))


def note(backlog, copies_for, count=1):
    backlog.facts_of(copies_for).record(SEEN, NOW, DAY, count)


def counted(batches):
    return sum(tally.counts[DAY] for batch in batches for tally in batch.facts.tallies.values())


def test_keys_beyond_the_limit_share_their_organizations_notes():
    backlog = PendingWrites()
    for number in range(MOST_SUBJECTS + 500):
        note(backlog, subject(number))
    assert MOST_SUBJECTS == len(backlog.pending)
    assert MOST_SUBJECTS + 500 == counted(backlog.take_due(lambda *_: True))
    assert 0 == backlog.dropped


def test_limit_includes_notes_being_written_or_refused():
    backlog = PendingWrites()
    for round_ in range(1, 4):
        for number in range(MOST_SUBJECTS):
            note(backlog, subject((round_, number)))
        batches = backlog.take_due(lambda *_: True)
        note(backlog, subject((round_, "late")))
        backlog.finish_write(batches)
        assert len(backlog.pending) <= MOST_SUBJECTS + 1
    assert 3 * (MOST_SUBJECTS + 1) == counted(backlog.take_due(lambda *_: True))


def test_dropped_notes_are_counted():
    backlog = PendingWrites()
    for number in range(MOST_SUBJECTS):
        note(backlog, subject(number, None))
    for number in range(7):
        note(backlog, subject(MOST_SUBJECTS + number, None))
        note(backlog, subject(number, None))
    note(backlog, subject(0))
    assert MOST_SUBJECTS == len(backlog.pending)
    assert 8 == backlog.dropped
    assert MOST_SUBJECTS + 7 == counted(backlog.take_due(lambda *_: True))
    backlog.finish_write([])
    assert not backlog
    note(backlog, subject("another", None))
    assert (1, 8) == (len(backlog.pending), backlog.dropped)


def test_only_due_notes_are_taken():
    backlog, later = PendingWrites(), (f"{MODEL}:ckpt-step-10", Source.OBSERVED, None)
    for number in (1, 2):
        backlog.facts_of(subject(number)).record(later, NOW, DAY)
    note(backlog, subject(1), count=3)
    taken = backlog.take_due(lambda _, series: series == SEEN)
    assert [(subject(1), 3)] == [(batch.subject, counted([batch])) for batch in taken]
    backlog.finish_write([])
    assert {subject(1): [later], subject(2): [later]} == {
        subject: list(facts.tallies) for subject, facts in backlog.pending.items()
    }
