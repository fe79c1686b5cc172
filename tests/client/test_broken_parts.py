"""A user's inference succeeds even if a part of the guard fails."""

from __future__ import annotations

import gc
import logging
import os
import weakref
from datetime import datetime, timezone

import openai
import pytest

from finetune_guard import (
    GuardConfig,
    GuardConfigError,
    HistoryUnavailableWarning,
    KeepAlive,
    Store,
    StoreError,
    guard,
)
from tests.client.flavours import create_job, done, listed
from tests.support.constants import MESSAGES

pytestmark = pytest.mark.anyio


def failing(error):
    """A store whose every method raises ``error``."""

    def fail(*_args, **_options):
        raise error

    names = [name for name in vars(Store) if getattr(vars(Store)[name], "__isabstractmethod__", False)]
    return type("Failing", (Store,), {"location": f"nowhere/{error!r}", **dict.fromkeys(names, fail)})()


def unreadable(tmp_path):
    folder = tmp_path / "unreadable"
    folder.mkdir(mode=0o000)
    if os.access(folder, os.R_OK):  # root may read everything: a file in the folder's place stops even root
        folder.rmdir()
        folder.write_text("in the way")
    return folder


STORES = {
    "store error": lambda _: failing(StoreError("no")),
    "any error": lambda _: failing(RuntimeError("no")),
    "os error": lambda _: failing(OSError(28, "No space left on device")),
    "unreadable folder": unreadable,
}


@pytest.fixture(params=STORES.values(), ids=STORES)
def broken(request, connect, tmp_path):
    """A client whose history can be neither read nor written."""
    return connect(config={"store": request.param(tmp_path)})


async def test_inferences_succeed_with_a_broken_part(broken, model, caplog):
    """A store that can't be read, or written, is logged once."""
    for number in range(100):
        stream = number % 10 == 0
        answer = await done(broken.chat.completions.create(model=model, messages=MESSAGES, stream=stream))
        assert (await listed(answer)) if stream else answer.choices
        await done(broken.guard.check())
    messages = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert 1 == sum("can't read" in text for text in messages)
    assert 1 >= sum("can't write" in text for text in messages)
    assert len(messages) <= 2


async def test_job_is_left_to_the_api_with_a_warning_when_the_store_fails(broken, bare, infer, posts):
    await infer(bare)
    for _ in range(2):
        with (
            pytest.warns(HistoryUnavailableWarning, match="API decides"),
            pytest.raises(openai.BadRequestError),
        ):
            await create_job(broken)
    assert 2 == posts("/fine_tuning/jobs")


async def test_guard_methods_raise_store_errors(broken, infer):
    await infer(broken)
    with pytest.raises(StoreError):
        await done(broken.guard.history())
    with pytest.raises(StoreError):
        await done(broken.guard.flush(timeout=300))


async def test_keep_alive_works_once_without_a_store(connect, tmp_path, model):
    for make in STORES.values():
        client = connect(config={"store": make(tmp_path), "keep_alive": KeepAlive()})
        assert (await done(client.guard.keep_alive(force=True))).sent


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("FINETUNE_GUARD_ON_UNKNOWN", "maybe"),
        ("FINETUNE_GUARD_STORE", "ftp://x"),
        ("FINETUNE_GUARD_CLOCK", "nowhere:now"),
    ],
)
async def test_wrong_environment_stops_jobs_only(
    flavour, sim, bare, closing, model, monkeypatch, variable, value
):
    monkeypatch.setenv(variable, value)
    monkeypatch.setenv("FINETUNE_GUARD_HOSTS", f"{sim.host}, gw.acme.example")
    client = closing(flavour.guarded(base_url=sim.base_url, api_key=sim.organization().api_key))
    await done(client.chat.completions.create(model=model, messages=MESSAGES))
    data = b'{"messages": [{"role": "user", "content": "a"}]}\n'
    await done(client.files.create(file=("a.jsonl", data), purpose="fine-tune"))
    for each_client in (client, client.with_options(timeout=300), guard(bare)):
        with pytest.raises(GuardConfigError, match=variable) as caught:
            await create_job(each_client)
        assert value in str(caught.value)
    with pytest.raises(GuardConfigError, match=variable):
        await done(client.guard.check())
    monkeypatch.setenv("FINETUNE_GUARD_ENABLED", "false")  # whatever else is wrong
    client = closing(flavour.guarded(base_url=sim.base_url, api_key=sim.organization().api_key))
    with pytest.raises(openai.APIStatusError, match=r"training_file|winding down"):  # the API's own
        await create_job(client)


async def test_wrong_environment_stops_no_job_at_other_hosts(flavour, sim, closing, monkeypatch):
    monkeypatch.setenv("FINETUNE_GUARD_HOSTS", "https://gw.acme.example/v1")
    client = closing(flavour.guarded(base_url=sim.base_url, api_key=sim.organization().api_key))
    with pytest.raises(openai.APIStatusError, match=r"training_file|winding down"):  # the API's own
        await create_job(client)


async def test_deleted_working_directory_stops_nothing(
    flavour, sim, clock, closing, model, monkeypatch, tmp_path
):
    monkeypatch.setenv("FINETUNE_GUARD_HOSTS", sim.host)
    deleted = tmp_path / "deleted"
    deleted.mkdir()
    monkeypatch.chdir(deleted)
    deleted.rmdir()
    monkeypatch.setenv("FINETUNE_GUARD_STORE", "./history")
    options = {"base_url": sim.base_url, "api_key": sim.organization().api_key}
    client = closing(flavour.guarded(guard=GuardConfig(clock=clock), **options))
    await done(client.chat.completions.create(model=model, messages=MESSAGES))
    with pytest.raises(openai.BadRequestError, match="file-x"):
        await create_job(client)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError):
        await done(client.guard.flush())
    assert [] == list(tmp_path.iterdir())


@pytest.fixture
def handler():
    """Makes a handler of the package's log, which calls ``emit`` with each record."""
    handlers = []

    def make(emit):
        handler = logging.Handler()
        handler.emit = emit
        handlers.append(handler)
        logging.getLogger("finetune_guard").addHandler(handler)

    yield make
    for handler in handlers:
        logging.getLogger("finetune_guard").removeHandler(handler)


async def test_failing_log_handler_reaches_no_caller(
    flavour, bare, closing, infer, sim, monkeypatch, handler
):
    records = []

    def emit(record):
        records.append(record)
        raise RuntimeError(record.getMessage())

    handler(emit)
    guard(closing(flavour.bare(base_url="https://acme.example", api_key="x")))
    monkeypatch.setenv("FINETUNE_GUARD_ON_UNKNOWN", "maybe")
    client = closing(flavour.guarded(base_url=sim.base_url, api_key=sim.organization().api_key))
    await infer(client)
    await infer(guard(bare))
    assert 3 == len(records)


async def test_log_records_keep_no_client_alive(flavour, sim, infer, monkeypatch, connect, handler):
    records = []
    handler(records.append)
    failing_inside = flavour.guarded(base_url=sim.base_url, api_key="sk-test", guard=connect().guard.config)
    failing_inside._finetune_guard.failures.add(RuntimeError("no"))
    monkeypatch.setenv("FINETUNE_GUARD_ON_UNKNOWN", "maybe")
    monkeypatch.setenv("FINETUNE_GUARD_HOSTS", sim.host)
    wrong = flavour.guarded(base_url=sim.base_url, api_key=sim.organization().api_key)
    await infer(wrong)
    with pytest.raises(GuardConfigError):
        await create_job(wrong)
    assert 2 == len(records)
    references = []
    for client in (failing_inside, wrong):
        await done(client.close())
        references.append(weakref.ref(client))
    del client, failing_inside, wrong
    gc.collect()
    assert [None, None] == [reference() for reference in references]


@pytest.mark.parametrize(
    "broken_clock",
    [
        lambda: 1 / 0,
        lambda: datetime(2026, 8, 1),  # noqa: DTZ001
        lambda: datetime.min.replace(tzinfo=timezone.utc),
        lambda: datetime.max.replace(tzinfo=timezone.utc),
    ],
    ids=["raises", "naive", "before 1970", "year 9999"],
)
async def test_failing_clock_is_replaced_and_logged_once(connect, infer, broken_clock, caplog):
    client = connect(config={"clock": broken_clock})
    for _ in range(3):
        await infer(client)
        await done(client.guard.check())
    assert 1 == sum("configured clock fails" in record.getMessage() for record in caplog.records)


def overwrite(folder):
    (folder / "cache.db").write_bytes(b"\xff" * 50_000)


def delete(folder):
    for path in folder.iterdir():
        path.unlink()


@pytest.fixture
async def folder(tmp_path, connect, infer):
    """A folder with a history in it, which nobody has open."""
    location = tmp_path / "history"
    client = connect(config={"store": location})
    await infer(client)
    await done(client.guard.flush())
    client.guard.config.open_store().close()
    await done(client.close())
    return location


@pytest.mark.parametrize("damage", [overwrite, delete], ids=lambda damage: damage.__name__)
async def test_inferences_succeed_with_a_damaged_or_hostile_folder(folder, connect, infer, posts, damage):
    client = connect(config={"store": folder})
    await done(client.guard.history())
    damage(folder)
    before = posts("/chat/completions")
    for _ in range(100):
        assert (await infer(client)).choices
    await done(client.guard.check())
    await done(client.close())
    assert 100 == posts("/chat/completions") - before
