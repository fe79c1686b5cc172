"""Events for a program's own alerting, passed to ``GuardConfig(on_event=...)``."""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from datetime import datetime, timezone

import pytest

from finetune_guard import (
    FineTuneGuardError,
    HistoryUnavailable,
    JobStopped,
    KeepAliveError,
    KeepAliveFailed,
    KeepAliveSent,
    ModelEnding,
    StoreError,
    WindowClosing,
)
from finetune_guard.engine.events import MAX_PENDING, wait_until_all_delivered
from finetune_guard.simulator import Fault
from tests.client.background import until
from tests.client.flavours import create_job, done
from tests.client.test_broken_parts import failing
from tests.support.constants import BASE, DAY, TRAINING_DATA

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore::finetune_guard.FineTuneGuardWarning")]

CHAT = "/v1/chat/completions"


@pytest.fixture
def delivered():
    """Returns the events delivered so far, each time it is called."""
    events = []

    def all_delivered():
        wait_until_all_delivered(300)
        return [*events]

    all_delivered.callback = events.append
    return all_delivered


@pytest.fixture
def watched(connect, delivered):
    """A client whose events are recorded."""
    return connect(config={"on_event": delivered.callback})


async def upload(client):
    return await done(client.files.create(file=("a.jsonl", TRAINING_DATA), purpose="fine-tune"))


@pytest.mark.parametrize(("call", "name", "model"), [(create_job, "job", BASE), (upload, "upload", None)])
async def test_stopped_call_is_an_event_with_reason_and_message(watched, delivered, call, name, model):
    with pytest.raises(FineTuneGuardError) as raised:
        await call(watched)
    (event,) = delivered()
    assert (JobStopped, "job_stopped", name, model) == (type(event), event.kind, event.call, event.model)
    assert (type(raised.value).__name__, str(raised.value)) == (event.error, event.message)
    assert (False, raised.value.eligibility.reason) == (event.sent, event.reason)
    assert event.at == raised.value.eligibility.checked_at


async def test_refusal_by_the_api_is_an_event_marked_as_sent(connect, delivered):
    client = connect(config={"on_event": delivered.callback, "on_unknown": "allow"})
    with pytest.raises(FineTuneGuardError):
        await create_job(client)
    assert [("FineTuningRefusedError", True)] == [(event.error, event.sent) for event in delivered()]


async def test_closing_window_is_an_event_once_for_each_threshold(watched, delivered, infer, clock):
    for _ in range(2):
        await infer(watched)
        for _ in range(61):
            await done(watched.guard.check())
            clock.advance(DAY)
        clock.advance(-2 * DAY)
    events = delivered()
    assert [30, 15, 7, 1] * 2 == [event.within_days for event in events if isinstance(event, WindowClosing)]
    assert 30 * DAY == events[0].remaining
    assert "finetune-guard keep-alive" in events[0].message


async def test_no_window_event_after_the_end_of_job_creation(watched, delivered, infer, clock):
    """Before that date an open window is not what ends first, and no keep-alive is advised."""
    clock.advance(datetime(2026, 12, 8, tzinfo=timezone.utc) - clock())
    await infer(watched)
    await done(watched.guard.check())
    (event,) = (event for event in delivered() if isinstance(event, WindowClosing))
    assert "From 2027-01-06 on nobody can create fine-tuning jobs" in event.message
    assert "keep-alive" not in event.message


async def test_model_shutdown_is_an_event_once_for_each_threshold(watched, delivered, infer, clock, model):
    clock.advance(datetime(2026, 12, 1, tzinfo=timezone.utc) - clock())
    for _ in range(44):
        await infer(watched)
        clock.advance(DAY)
    events = [event for event in delivered() if isinstance(event, ModelEnding)]
    assert [30, 15, 7, 1] == [event.within_days for event in events]
    assert {((model,), "2027-01-14")} == {(event.models, str(event.ends_on)) for event in events}


async def test_base_model_shutdown_is_an_event_with_warn_models_all(connect, delivered, infer, clock):
    clock.advance(datetime(2026, 12, 20, tzinfo=timezone.utc) - clock())
    for warn_models in ("fine-tuned", "all"):
        await infer(connect(config={"on_event": delivered.callback, "warn_models": warn_models}), on=BASE)
    assert [((BASE,), 30)] == [(event.models, event.within_days) for event in delivered()]


async def test_keep_alives_and_their_failures_are_events(watched, delivered, infer, sim, clock, model):
    await infer(watched)
    clock.advance(50 * DAY)
    sim.fault(Fault(path=CHAT, status=404, times=None))
    with pytest.raises(KeepAliveError):
        await done(watched.guard.keep_alive())
    sim.clear_faults()
    await done(watched.guard.keep_alive())
    failed, sent = (event for event in delivered() if not isinstance(event, WindowClosing))
    assert (KeepAliveFailed, {model}) == (type(failed), set(failed.attempts))
    assert (KeepAliveSent, model, clock()) == (type(sent), sent.model, sent.at)


async def test_unusable_history_is_one_event_and_calls_go_on(connect, delivered, infer):
    client = connect(
        config={"on_event": delivered.callback, "store": failing(StoreError("the disk is full"))}
    )
    for _ in range(3):
        assert (await infer(client)).choices
        with suppress(StoreError):
            await done(client.guard.flush())
        await done(client.guard.check())
    events = delivered()
    assert [HistoryUnavailable] * 2 == [type(event) for event in events]
    assert all("the disk is full" in event.message for event in events)


async def test_failing_callback_is_logged_once_and_called_again(connect, infer, clock, caplog):
    received = []

    def fail(event):
        received.append(event)
        raise (SystemExit if len(received) == 1 else ValueError)("no")

    client = connect(config={"on_event": fail})
    await infer(client)
    for days in (31, 15):
        clock.advance(days * DAY)
        await done(client.guard.check())
    wait_until_all_delivered(300)
    assert [30, 15] == [event.within_days for event in received]
    assert 1 == sum("callback for events failed" in record.getMessage() for record in caplog.records)


async def test_close_waits_for_events(connect):
    received = []

    def slow(event):
        threading.Event().wait(0.05)
        received.append(event)

    clients = [connect(config={"on_event": slow}) for _ in range(3)]
    for client in clients:
        with pytest.raises(FineTuneGuardError):
            await create_job(client)
    await done(clients[0].close())
    assert 3 == len(received)


async def test_blocking_callback_delays_no_close_and_bounds_the_queue(connect, caplog):
    free, received = threading.Event(), []
    client = connect(config={"on_event": lambda event: (free.wait(), received.append(event))})
    try:
        with pytest.raises(FineTuneGuardError):
            await create_job(client)
        await done(client.close())
        assert (True, []) == (client.is_closed(), received)
        events, now = client._finetune_guard.engine.events, datetime.now(timezone.utc)
        for _ in range(MAX_PENDING + 10):
            events.emit(lambda: JobStopped(at=now, message="stopped", call="job", error="Error"))
    finally:
        free.set()
    await until(lambda: not events.are_pending)
    assert len(received) in (MAX_PENDING, MAX_PENDING + 1)  # one more if the thread had taken the first
    assert [logging.ERROR] == [record.levelno for record in caplog.records if "lost" in record.getMessage()]


PROGRAM = """
import os, sys, time
from finetune_guard import FineTuneGuardError, GuardConfig, OpenAI

def heard(event):
    time.sleep(0.05)
    os.write(1, f"{os.getpid() == parent} {event.kind}\\n".encode())
    if len(sys.argv) > 1:
        time.sleep(1000)

def stopped():
    try:
        client.fine_tuning.jobs.create(model="gpt-4o-mini-2024-07-18", training_file="file-x")
    except FineTuneGuardError:
        pass

parent = os.getpid()
client = OpenAI(guard=GuardConfig(on_event=heard), max_retries=0)
stopped()
if hasattr(os, "fork"):
    child = os.fork()
    if child == 0:
        stopped()
        client.close()
        os._exit(0)
    os.waitpid(child, 0)
stopped()
"""


@pytest.mark.parametrize("blocks", [False, True], ids=["quick", "blocking"])
def test_events_are_delivered_after_a_fork_and_at_exit(run_program, blocks):
    """A callback that blocks delays neither."""
    code, out, err = run_program(PROGRAM, *["blocks"] * blocks, store="memory")
    counts = [out.count(f"{by_parent} job_stopped") for by_parent in (True, False)]
    assert (0, [1 if blocks else 2, 1]) == (code, counts), out + err
