"""When background keep-alives are sent, and when not."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta, timezone

import pytest

from finetune_guard import KeepAlive, Source
from finetune_guard.client.background.background import Background, StoppedError
from finetune_guard.openai_api.flow import Pause
from finetune_guard.simulator import Fault
from finetune_guard.stores.memory import MemoryStore
from tests.client.background import background_threads, checks, settled, until, use
from tests.client.flavours import done
from tests.support.stores import Unreadable

pytestmark = pytest.mark.anyio

CHAT = "/chat/completions"
NEAR = timedelta(days=50)
OURS = "finetune_guard"


@pytest.fixture
def keep_open(connect):
    """Makes clients that look after the window in the background."""

    def make(renew_within="14d", config=None, **options):
        keep_alive = KeepAlive(renew_within=renew_within, background=True)
        return connect(config={"keep_alive": keep_alive, **(config or {})}, **options)

    return make


@pytest.fixture
async def closing_window(client, infer, clock):
    """An organization whose window closes in ten days."""
    await infer(client)
    await done(client.guard.flush())
    clock.advance(NEAR)


async def test_closing_window_is_renewed_and_logged(keep_open, closing_window, posts, clock, model, caplog):
    caplog.set_level(logging.INFO, OURS)
    client = keep_open()
    await use(client)
    await until(lambda: posts(CHAT) == 2)
    await settled(client)
    last = (await done(client.guard.history())).last_inference
    assert (model, clock(), Source.KEEP_ALIVE) == (last.model, last.at, last.source)
    message = f"finetune-guard sent a keep-alive: {model} answered, and the window is open until 2026-11-19"
    assert [f"{message} 00:00 UTC."] == [record.message for record in caplog.records if record.name == OURS]


async def test_background_wakes_when_a_keep_alive_is_due(keep_open, client, infer, clock, posts):
    await infer(client)
    clock.advance(timedelta(days=60, seconds=-21))
    keeping = keep_open("20s")
    await use(keeping)
    await settled(keeping)
    assert 1 == posts(CHAT)
    clock.advance(timedelta(seconds=10))
    await until(lambda: posts(CHAT) == 2)
    await settled(keeping)
    assert (await done(keeping.guard.check())).remaining > timedelta(days=59)


async def test_programs_own_inference_makes_a_keep_alive_needless(keep_open, closing_window, infer, posts):
    keeping = keep_open()
    await infer(keeping)
    await settled(keeping)
    assert 2 == posts(CHAT)


async def test_background_starts_only_when_configured_and_used(keep_open, connect, closing_window, posts):
    client = keep_open()
    client.with_options(timeout=300)
    await done(client.guard.check())
    plain = connect(config={"keep_alive": KeepAlive()})
    await use(plain)
    assert ([], [], []) == (background_threads(), checks(client), checks(plain))
    assert (None, 1) == (plain._finetune_guard.background, posts(CHAT))


async def test_unknown_window_is_renewed_with_a_model_from_the_api(keep_open, model, posts):
    client = keep_open()
    await use(client)
    await until(lambda: posts(CHAT) == 1)
    await settled(client)
    assert "eligible" == (await done(client.guard.check())).verdict


async def test_nothing_is_sent_after_the_end_of_job_creation(keep_open, closing_window, clock, posts, caplog):
    caplog.set_level(logging.INFO, OURS)
    clock.set(datetime(2027, 2, 1, tzinfo=timezone.utc))
    client = keep_open()
    await use(client)
    await settled(client)
    assert 1 == posts(CHAT)
    assert ["Nobody can create"] == [r.message[:17] for r in caplog.records if r.name == OURS]


async def test_nothing_is_sent_while_the_history_is_unreadable(keep_open, model, posts):
    client = keep_open(config={"store": Unreadable()})
    await use(client)
    await settled(client)
    assert 0 == posts(CHAT)


async def test_copies_of_a_client_share_a_background(keep_open, closing_window, sim, flavour, posts):
    """A copy with another key has its organization checked too."""
    sim.add_organization(slug="other-1", api_key="sk-other", models=["gpt-4o-2024-08-06"])
    client = keep_open()
    other = client.with_options(api_key="sk-other")
    for each_client in (client, client.with_options(timeout=300), other):
        await use(each_client)
    await until(lambda: len(checks(client)) == 2)
    await settled(client)
    assert 3 == posts(CHAT)
    assert (0 if flavour.is_async else 1) == len(background_threads())


async def test_failed_keep_alive_is_logged_once_and_retried(
    keep_open, client, infer, clock, sim, posts, caplog
):
    caplog.set_level(logging.INFO, OURS)
    await infer(client)
    clock.advance(timedelta(days=60, seconds=-5))
    sim.fault(Fault.insufficient_quota(path="/v1/chat/completions", times=2))
    keeping = keep_open()
    await use(keeping)
    await until(lambda: posts(CHAT) == 4)
    await settled(keeping)
    messages = [(r.levelname, r.message) for r in caplog.records if r.name == OURS]
    assert ["WARNING", "INFO"] == [level for level, _ in messages]
    assert "429 insufficient_quota" in messages[0][1]
    assert "sent a keep-alive" in messages[1][1]


class BrokenStore(MemoryStore):
    """A store that nobody expects to do this."""

    def evidence(self, organization):
        raise SystemExit("out of order")


async def test_bug_in_the_background_is_logged_once_and_retried(keep_open, model, caplog):
    client = keep_open(config={"store": BrokenStore()})
    await use(client)
    await settled(client)
    (record,) = [record for record in caplog.records if record.name == OURS]
    assert ("WARNING", True) == (record.levelname, "in evidence" in record.message)
    await use(client)


async def test_check_ends_once_the_client_is_gone(keep_open):
    """It ends within a quarter of a second, however long it would wait to retry."""

    def waiting():
        yield Pause(timedelta(hours=1))
        raise AssertionError

    client = keep_open()
    background = Background(client._finetune_guard.engine)
    background.register(client)
    steps = background._until_stopped(waiting())
    assert [Pause(timedelta(seconds=0.25))] * 2 == [next(steps), steps.send(None)]
    background._clients.clear()
    with pytest.raises(StoppedError):
        steps.send(None)
