"""Measures reading a page of usage with 5,000 models on each of 31 days."""

from __future__ import annotations

import gc
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from statistics import median
from typing import Any

from finetune_guard import GuardConfig
from finetune_guard.domain.organizations import Credentials, Subject
from finetune_guard.engine.guard import Guard
from finetune_guard.openai_api.flow import Reply
from finetune_guard.openai_api.usage import read_usage
from table import Row, print_rows

DAYS, MODELS, RUNS = 31, 5_000, 5
END = datetime(2026, 11, 22, tzinfo=timezone.utc)
START = END - timedelta(days=DAYS)
CREDENTIALS = Credentials("Bearer sk-test")


def rows() -> Iterator[Row]:
    """Measure reading the page, and storing it in a history on disk."""
    text = json.dumps(_page())
    page = json.loads(text)
    parsing = _median(lambda: json.loads(text))
    reading = _median(lambda: _drive(_read(), page))
    beside = f"json.loads of its {len(text) / 1e6:.0f} MB: {parsing * 1e3:.0f} ms"
    what = f"a page of usage, {DAYS} days of {MODELS:,} models each"
    yield Row(f"{what}: read", f"{reading * 1e3:.0f} ms CPU", beside)
    first, again = zip(*(_synchronized(page) for _ in range(RUNS)), strict=True)
    yield Row(
        f"{what}: read and kept on disk",
        f"{median(first) * 1e3:.0f} ms CPU; {median(again) * 1e3:.0f} ms when read again",
        beside,
    )


def _read() -> Any:
    return read_usage(START, organization="acme-28gund", key="sk", on_page=lambda _: None)


def _page() -> dict[str, Any]:
    return {
        "object": "page",
        "data": [_bucket(START + timedelta(days=day)) for day in range(DAYS)],
        "has_more": False,
        "next_page": None,
    }


def _bucket(day: datetime) -> dict[str, Any]:
    results = [
        {
            "object": "organization.usage.completions.result",
            "input_tokens": 1_000,
            "output_tokens": 500,
            "input_cached_tokens": 800,
            "input_audio_tokens": 0,
            "output_audio_tokens": 0,
            "num_model_requests": 5,
            "project_id": f"proj_{model % 20:08}",
            "user_id": None,
            "api_key_id": None,
            "model": f"ft:gpt-4o-mini-2024-07-18:acme::{model:08}",
            "batch": None,
        }
        for model in range(MODELS)
    ]
    start = int(day.timestamp())
    return {"object": "bucket", "start_time": start, "end_time": start + 86_400, "results": results}


def _synchronized(page: dict[str, Any]) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder:
        guard = Guard(GuardConfig(store=folder, clock=_end))
        guard.recorder.record_organization(Subject("acme-28gund", CREDENTIALS))
        guard.decider.answered_at(None)  # an answer has named it, so that the sync doesn't ask for it

        def once() -> None:
            done = _drive(guard.usage.sync(CREDENTIALS, "sk", days=DAYS), page)
            assert done.complete
            assert guard.recorder.flush(60)

        taken = _cpu_seconds(once), _cpu_seconds(once)
        assert len(guard.recorder.history(CREDENTIALS).models) == MODELS
        return taken


def _end() -> datetime:
    return END


def _drive(flow: Any, page: dict[str, Any]) -> Any:
    """Answer the first request with the page, and the next one, for hourly buckets, with an empty page."""
    nothing = {"object": "page", "data": [], "has_more": False, "next_page": None}
    answers = iter([page, nothing])
    try:
        flow.send(None)
        while True:
            body = next(answers)
            flow.send(Reply(body, Subject("acme-28gund", CREDENTIALS), END))
    except StopIteration as stop:
        return stop.value


def _median(work: Callable[[], object]) -> float:
    return median(_cpu_seconds(work) for _ in range(RUNS))


def _cpu_seconds(work: Callable[[], object]) -> float:
    gc.collect()
    began = time.process_time()
    work()
    return time.process_time() - began


if __name__ == "__main__":
    print_rows(rows())
