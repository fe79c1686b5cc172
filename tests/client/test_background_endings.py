"""How background keep-alives stop with their client, event loop or process."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import textwrap
import threading
import weakref

import pytest

from finetune_guard import KeepAlive
from finetune_guard.simulator import Fault
from tests.client.background import background_threads, settled, until, use
from tests.client.flavours import ASYNC, done

pytestmark = pytest.mark.anyio

CHAT = "/chat/completions"
NAME = "finetune-guard-background"


def is_running(background):
    """Whether a background has a thread, a timer or a task."""
    return any(getattr(background, part, None) is not None for part in ("_thread", "_timer", "_task"))


@pytest.fixture
def options(sim, configured):
    """What makes a client look after the window in the background."""
    return {
        "base_url": sim.base_url,
        "api_key": sim.organization().api_key,
        "max_retries": 0,
        "guard": configured(keep_alive=KeepAlive(background=True)),
    }


@pytest.mark.parametrize("closed", ["the client", "a copy"])
async def test_closing_a_client_ends_its_background(flavour, options, closed):
    """No thread, timer or task is left."""
    client = flavour.guarded(**options)
    await use(client)
    await use(client.with_options(timeout=300))
    await settled(client)
    background = client._finetune_guard.background
    assert is_running(background)
    assert NAME not in {task.get_name() for task in asyncio.all_tasks()}
    await done((client if closed == "the client" else client.with_options(timeout=300)).close())
    assert (False, []) == (is_running(background), background_threads())


def reporting_http_client(flavour, sending):
    """An HTTP client that sets ``sending`` when an inference is sent."""

    def notice(request):
        if request.url.path.endswith(CHAT):
            sending.set()

    async def notice_later(request):
        notice(request)

    return flavour.http_client(event_hooks={"request": [notice_later if flavour.is_async else notice]})


async def test_close_does_not_wait_for_a_slow_keep_alive(flavour, options, sim, model, caplog):
    sim.fault(Fault(path="/v1/chat/completions", delay=600, times=None))
    sending = threading.Event()
    client = flavour.guarded(http_client=reporting_http_client(flavour, sending), **options)
    await use(client)
    await until(sending.is_set)
    await done(client.close())
    assert not [call for call in sim.calls if call.path == "/v1/chat/completions"]
    sim.stop()  # so that a thread that waits for the answer needn't do so to the end
    await until(lambda: not is_running(client._finetune_guard.background))
    assert [] == [record.message for record in caplog.records if record.name == "finetune_guard"]


async def test_dropped_clients_are_collected_with_their_background(flavour, options):
    backgrounds, clients = [], []
    http_client = flavour.http_client()

    async def use_and_drop():
        client = flavour.guarded(http_client=http_client, **options)
        await use(client)
        await settled(client)
        backgrounds.append(client._finetune_guard.background)
        clients.append(weakref.ref(client))

    for _ in range(10):
        await use_and_drop()
    gc.collect()
    assert [None] * 10 == [reference() for reference in clients]
    await until(lambda: not background_threads())
    await until(lambda: not any(is_running(background) for background in backgrounds))
    await done(http_client.aclose() if flavour.is_async else http_client.close())


async def test_background_goes_on_with_the_remaining_client(flavour, options):
    client = flavour.guarded(**options)
    await use(client.with_options(timeout=300))
    await settled(client)
    gc.collect()
    background = client._finetune_guard.background
    assert (True, [client]) == (is_running(background), [known() for known in background._clients.values()])
    await done(client.close())


async def test_cancelled_background_starts_again_with_the_next_request(options, sim, model, posts):
    sim.fault(Fault(path="/v1/models", method="GET", delay=600))
    async with ASYNC.guarded(**options) as client:
        await use(client)
        background = client._finetune_guard.background
        await until(lambda: not sim._faults._pending)  # it has asked for models
        background._task.cancel()
        await until(lambda: not is_running(background))
        await use(client)
        await until(lambda: posts(CHAT) == 1)


def test_each_event_loop_has_its_own_background(options, model, posts):
    client = ASYNC.guarded(**options)
    backgrounds = []

    async def once():
        async with ASYNC.http_client() as http_client:
            await client.with_options(http_client=http_client).files.list()
            backgrounds.append((client._finetune_guard.background, asyncio.get_running_loop()))
            assert is_running(backgrounds[-1][0])
            assert backgrounds[-1][0]._loop is asyncio.get_running_loop()

    for _ in range(2):
        asyncio.run(once())
    assert backgrounds[0][0] is backgrounds[1][0]
    asyncio.run(client.close())


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the sockets of such a program
def test_loop_that_is_simply_closed_leaves_no_pending_task(options, model, caplog):
    loop = asyncio.new_event_loop()

    async def once():
        client = ASYNC.guarded(**options)
        await use(client)
        await settled(client)
        await client._client.aclose()

    loop.run_until_complete(once())
    loop.close()
    gc.collect()
    assert [] == [record.message for record in caplog.records]


def test_trio_gets_one_warning_and_no_background(options, sim, caplog):
    trio = pytest.importorskip("trio")

    async def without_a_guard():
        async with ASYNC.bare(**{name: value for name, value in options.items() if name != "guard"}) as bare:
            await use(bare)

    try:
        trio.run(without_a_guard)
    except RuntimeError:
        pytest.skip("this release of openai needs asyncio")

    async def twice():
        async with ASYNC.guarded(**options) as client:
            await use(client)
            await use(client)
            return client._finetune_guard.background

    assert not is_running(trio.run(twice))
    assert ["finetune-guard sends no keep-alive in the background"] == [
        record.message.partition(":")[0] for record in caplog.records if record.name == "finetune_guard"
    ]


PROGRAM = """
    import warnings
    warnings.simplefilter("ignore", ResourceWarning)
    import logging, os, sys, threading, time
    from openai import DefaultHttpxClient
    from finetune_guard import GuardConfig, KeepAlive, OpenAI

    logging.basicConfig(level=logging.WARNING)
    sending = threading.Event()
    hooks = {"request": [lambda request: request.url.path.endswith("/chat/completions") and sending.set()]}
    client = OpenAI(
        max_retries=0,
        http_client=DefaultHttpxClient(event_hooks=hooks),
        guard=GuardConfig(keep_alive=KeepAlive(background=True)),
    )

    def backgrounds():
        return sum(thread.name == "finetune-guard-background" for thread in threading.enumerate())

    def until(condition):
        ends = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < ends
            time.sleep(0.02)
"""


@pytest.fixture
def run_background(run_program):
    """Runs a program that begins with ``PROGRAM``."""
    return lambda text: run_program(textwrap.dedent(PROGRAM) + textwrap.dedent(text))


@pytest.mark.parametrize(
    "moment",
    ["until(lambda: checks and all(each.next_at for each in checks.values()))", "assert sending.wait(60)"],
    ids=["it sleeps", "it sends"],
)
def test_program_ends_at_any_time_without_waiting_for_an_answer(run_background, sim, model, posts, moment):
    if "sending" in moment:
        sim.fault(Fault(path="/v1/chat/completions", delay=600, times=None))
    assert (0, "1\n", "") == run_background(
        f"""
        client.files.list()
        checks = client._finetune_guard.background._checks
        {moment}
        print(backgrounds())
        """
    )
    assert (0 if "sending" in moment else 1) == posts(CHAT)


def test_interrupt_ends_a_program_with_a_sleeping_background(run_background):
    code, _, err = run_background(
        """
        import signal
        signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs the tests may have it ignored
        client.files.list()
        signal.raise_signal(signal.SIGINT)
        """
    )
    assert "KeyboardInterrupt" in err
    assert code in (-signal.SIGINT, 130)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize("moment", ["pass", "assert sending.wait(60)"], ids=["any moment", "while it sends"])
def test_forked_child_gets_its_own_background_on_first_use(run_background, sim, model, moment):
    sim.fault(Fault(path="/v1/chat/completions", delay=1))
    code, out, err = run_background(
        """
        import json, warnings
        from finetune_guard.client.background import background
        warnings.simplefilter("ignore")  # newer Pythons warn of forks beside threads
        background.FORK_TIMEOUT = 60  # however slow the machine is

        client.files.list()
        seen = {"parent": backgrounds()}
        MOMENT
        read, write = os.pipe()
        if os.fork() == 0:
            before = backgrounds()
            client.files.list()
            os.write(write, json.dumps({"child before": before, "child": backgrounds()}).encode())
            sys.exit(0)
        os.wait()
        seen |= json.loads(os.read(read, 1000)) | {"after": backgrounds()}
        print(json.dumps(seen))
        """.replace("MOMENT", moment)
    )
    assert (0, "") == (code, err)
    assert {"parent": 1, "child before": 0, "child": 1, "after": 1} == json.loads(out)
