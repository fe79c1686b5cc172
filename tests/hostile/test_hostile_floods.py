"""Floods of names: what is kept of them is bounded, and an inference is remembered all the same."""

from __future__ import annotations

import gc
import tracemalloc
from datetime import datetime, timezone

import openai
import pytest

from finetune_guard import GuardConfig, OpenAI
from finetune_guard.domain.facts import Source
from finetune_guard.domain.organizations import Credentials, Subject
from finetune_guard.domain.shutdowns import Announced
from finetune_guard.engine.shutdowns import ModelEnds
from finetune_guard.openai_api.completions import batch_runs
from finetune_guard.recording.recorder import Recorder
from finetune_guard.stores.memory import MemoryStore
from tests.support.http import HTTP

NOW = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)
MODEL = "ft:gpt-4o-mini-2024-07-18:acme:support-bot:AbC123xY"
KEY = Credentials("Bearer sk-test")


def test_changing_organization_names_fill_no_store():
    store = MemoryStore()
    recorder = Recorder.for_store(store)
    for number in range(10_050):
        recorder.record(Subject(f"acme-{number}", KEY), MODEL, Source.OBSERVED, NOW)
    assert recorder.flush(60)
    assert 10_000 == len(store.organizations())
    assert NOW == recorder.evidence(KEY).last_inference.at


def test_projects_of_a_page_are_bounded():
    store = MemoryStore()
    recorder = Recorder.for_store(store)
    recorder.merge(Subject("acme", KEY), names=[f"proj_{number}" for number in range(100_000)])
    assert recorder.flush(60)
    assert 1_100 > len(store.aliases())


def test_batches_of_a_page_are_bounded():
    batch = {"id": "batch_1", "status": "completed", "model": MODEL, "completed_at": 1_780_000_000}
    assert 1_000 == len(list(batch_runs({"data": [batch] * 50_000}, NOW)))


def test_oversized_organization_name_is_not_kept():
    def answered(request):
        headers = {"openai-organization": "x" * 1_000_000}
        return HTTP.Response(200, json={"id": "x", "choices": [{}]}, headers=headers, request=request)

    http_client = HTTP.Client(transport=HTTP.MockTransport(answered))
    guard = GuardConfig(store="memory")
    with OpenAI(api_key="sk-test", http_client=http_client, guard=guard) as client:
        tracemalloc.start()
        for number in range(30):
            client.with_options(api_key=f"sk-{number}").chat.completions.create(model=MODEL, messages=[])
        client.guard.flush()
        gc.collect()
        used, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert used < 10_000_000


@pytest.mark.parametrize(
    "url", ["https://a:99999/v1/files", "https://[/v1/files", "https://a:x/v1/fine_tuning/jobs"]
)
def test_invalid_url_raises_the_sdks_error(url):
    raised = []
    for kind, options in ((openai.OpenAI, {}), (OpenAI, {"guard": GuardConfig(store="memory")})):
        with kind(api_key="sk-test", max_retries=0, **options) as client:
            try:
                client.post(url, body={"purpose": "fine-tune"}, cast_to=object)
            except Exception as error:  # noqa: BLE001 -- whatever it is
                raised.append((type(error), str(error)))
    assert raised[0] == raised[1]


def test_models_of_answers_are_bounded():
    ends = ModelEnds(GuardConfig(store="memory"), MemoryStore())
    announced = Announced(day=None, seen_at=NOW)
    for answer in range(3):
        ends.learn({f"model-{answer}-{number}": announced for number in range(60_000)})
    assert 60_000 == len(ends.dates.announced)
