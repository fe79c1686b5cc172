"""Floods of names: what is kept of them is bounded, and an inference is remembered all the same."""

from __future__ import annotations

from datetime import datetime, timezone

from finetune_guard.history import Source
from finetune_guard.identity import Credentials
from finetune_guard.recording.notes import Subject
from finetune_guard.recording.recorder import Recorder
from finetune_guard.stores.memory import MemoryStore

NOW = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)
MODEL = "ft:gpt-4o-mini-2024-07-18:acme:support-bot:AbC123xY"
KEY = Credentials("Bearer sk-test")


def test_a_server_that_always_calls_itself_anew_fills_no_store():
    """Ten thousand organizations are taken in by one process; then the key stands for those to come."""
    store = MemoryStore()
    recorder = Recorder.of(store)
    for number in range(10_050):
        recorder.note(Subject(f"acme-{number}", KEY), MODEL, Source.OBSERVED, NOW)
    assert recorder.flush(60)
    assert 10_000 == len(store.organizations())
    assert NOW == recorder.evidence(KEY).last_inference.at


def test_a_flood_of_projects_is_cut():
    """A page that names a hundred thousand projects keeps nobody busy, and fills no store."""
    store = MemoryStore()
    recorder = Recorder.of(store)
    recorder.learn(Subject("acme", KEY), names=[f"proj_{number}" for number in range(100_000)])
    assert recorder.flush(60)
    assert 1_100 > len(store.aliases())
