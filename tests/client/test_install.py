"""``install()`` guards every client of the SDK in the process; ``uninstall()`` removes every change."""

from __future__ import annotations

import copy
import inspect
import pickle
from datetime import timedelta

import openai
import pytest

import finetune_guard
from finetune_guard import GuardConfigError, InferenceWindowExpiredError, Source
from finetune_guard.client.sdk_compat import FinalRequestOptions
from finetune_guard.logs import OnceLog
from tests.client.flavours import create_job, done
from tests.client.scenarios import INFERENCES, OTHER_CALLS
from tests.client.test_drop_in import comparable, served
from tests.support.constants import BASE, MESSAGES, START

pytestmark = pytest.mark.anyio


@pytest.fixture
def install(configured):
    """Installs the guard for the simulated API until the test is over."""

    def call(**fields):
        config = configured(**fields)
        finetune_guard.install(config)
        return config

    yield call
    finetune_guard.uninstall()


def attributes():
    """All attributes of the SDK's classes, by class and name."""
    classes = (openai.OpenAI, openai.AsyncOpenAI, openai.AzureOpenAI, openai.AsyncAzureOpenAI)
    return {(cls, name): value for cls in classes for name, value in vars(cls).items()}


def changed(before):
    """The attributes that were added, removed or replaced since ``before``."""
    now = attributes()
    return {f"{key[0].__name__}.{key[1]}" for key in {**before, **now} if before.get(key) is not now.get(key)}


@pytest.mark.slow
@pytest.mark.matrix
@pytest.mark.parametrize("scenarios", [INFERENCES, OTHER_CALLS], ids=["inferences", "other calls"])
async def test_installed_guard_changes_no_call_and_records_inferences(scenarios, sim, bare, model, install):
    count = 0
    for scenario in scenarios:
        try:
            expected, expected_calls = comparable(await scenario(bare, model)), served(sim)
        except pytest.skip.Exception:  # this release of openai has no such call
            continue
        count += 1
        install()
        assert (scenario.__name__, expected) == (scenario.__name__, comparable(await scenario(bare, model)))
        assert expected_calls == served(sim)
        daily = (await done(bare.guard.history())).daily
        assert daily == ({START.date(): {Source.OBSERVED: count}} if scenarios is INFERENCES else {})
        finetune_guard.uninstall()


async def test_every_client_is_guarded_however_it_was_made(
    flavour, connect_bare, clock, posts, infer, install
):
    subclass = type("Mine", (flavour.bare,), {})
    before = connect_bare()
    await done(before.models.list())
    install()
    after = connect_bare()
    special = subclass(api_key=after.api_key, base_url=after.base_url, max_retries=0)
    await infer(before)
    clock.advance(timedelta(days=61))
    for client in (before, after, after.with_options(timeout=300), after.copy(), special, special.copy()):
        assert type(client) in {flavour.bare, subclass}
        with pytest.raises(InferenceWindowExpiredError):
            await create_job(client)
    assert 0 == posts("/fine_tuning/jobs")
    for client in (before, special):
        await done(client.close())


@pytest.fixture
def module_client(sim, monkeypatch):
    """Has the SDK's module speak to the simulated API; its client is closed when the test is over."""
    monkeypatch.setattr(openai, "api_key", sim.organization().api_key)
    monkeypatch.setattr(openai, "base_url", f"{sim.base_url}/")
    yield
    openai._load_client().close()
    openai._reset_client()


def test_module_level_functions_are_guarded(module_client, clock, model, install):
    openai.models.list()
    install()
    openai.chat.completions.create(model=model, messages=MESSAGES)
    clock.advance(timedelta(days=61))
    with pytest.raises(InferenceWindowExpiredError):
        openai.fine_tuning.jobs.create(model=BASE, training_file="file-1")


async def test_guarded_client_counts_once_after_install(connect, infer, install):
    install()
    client = connect()
    await infer(client)
    assert {START.date(): {Source.OBSERVED: 1}} == (await done(client.guard.history())).daily


async def test_azure_clients_are_not_stopped(flavour, sim, model, install, closing):
    install()
    client = closing(flavour.azure(api_key="key", api_version="v1", base_url=sim.base_url, max_retries=0))
    assert isinstance(client, flavour.bare)
    assert "not_guarded" == (await done(client.guard.check())).reason
    with pytest.raises(openai.APIStatusError):  # the API's own: it has no such path
        await create_job(client)
    assert await done(client.guard.keep_alive()) is not None


async def test_subclass_that_overrides_request_sees_own_requests(
    flavour, sim, clock, infer, install, closing
):
    paths = []

    class Counting(flavour.bare):
        def request(self, cast_to, options, *args, **kwargs):
            paths.append(options.url)
            return super().request(cast_to, options, *args, **kwargs)

    install()
    client = closing(Counting(api_key=sim.organization().api_key, base_url=sim.base_url))
    await infer(client)
    assert (await done(client.guard.keep_alive(force=True))).sent
    assert 2 == paths.count("/chat/completions") == len(sim.calls)


def test_uninstall_restores_every_attribute(configured):
    before, config = attributes(), configured()
    with finetune_guard.install(config):
        shown = {name.partition(".")[2] for name in changed(before)}
        assert {"request", "copy", "with_options", "close"} < shown
        for (cls, name), value in before.items():
            if inspect.isfunction(value):
                assert inspect.signature(value) == inspect.signature(vars(cls)[name])
        with finetune_guard.install(), finetune_guard.install(config):
            inside = attributes()
        assert set() == changed(inside)
    assert set() == changed(before)
    finetune_guard.uninstall()
    assert set() == changed(before)


def test_second_configuration_is_refused(install, configured):
    install()
    with pytest.raises(GuardConfigError, match="installed with another configuration"):
        finetune_guard.install(configured())
    finetune_guard.uninstall()
    with pytest.raises(GuardConfigError, match="a GuardConfig is required"):
        finetune_guard.install("memory")


async def test_uninstall_leaves_later_patches(flavour, bare, infer, install, caplog):
    install()
    ours, paths = flavour.bare.request, []

    def theirs(self, *args, **kwargs):
        paths.append(args)
        return ours(self, *args, **kwargs)

    flavour.bare.request = theirs
    try:
        finetune_guard.uninstall()
        assert f"something else has replaced openai.{flavour.bare.__name__}.request" in caplog.text
        assert theirs is flavour.bare.request
        await infer(bare)
        assert 1 == len(paths)
        assert not hasattr(bare, "guard")
    finally:
        del flavour.bare.request  # it is inherited


async def test_copied_or_pickled_attributes_hold_no_guard(flavour, sim, install, infer):
    install()
    client = flavour.bare(api_key=sim.organization().api_key, base_url=sim.base_url)
    await infer(client)
    state = {name: value for name, value in vars(client).items() if name == "_finetune_guard_view"}
    assert {"_finetune_guard_view": None} == pickle.loads(pickle.dumps(state))
    copied = copy.copy(client)
    await infer(copied)
    assert {START.date(): {Source.OBSERVED: 2}} == (await done(copied.guard.history())).daily
    await done(client.close())


async def test_a_websocket_is_logged_once(flavour, connect, bare, install, caplog, monkeypatch):
    monkeypatch.setattr("finetune_guard.client.urls._log_of_process", OnceLog())
    install()
    caplog.set_level("INFO", "finetune_guard")
    for client in (bare, connect()):
        host = f"{client.base_url.host}:{client.base_url.port}"
        for place in ("example.com", host, host):  # as the SDK does before it connects
            options = FinalRequestOptions.construct(method="get", url=f"ws://{place}/v1/realtime?model=m")
            assert await done(client._prepare_options(options)) is options
    (record,) = [record for record in caplog.records if "WebSocket" in record.message]
    assert "client.guard.record(model)" in record.message
