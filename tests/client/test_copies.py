"""``copy`` and ``with_options`` keep the guard and the history, and apply the options."""

from __future__ import annotations

import pytest

from finetune_guard import GuardConfig, NoInferenceRecordedError
from tests.client.flavours import ASYNC, SYNC, done
from tests.support.constants import BASE, MESSAGES

pytestmark = pytest.mark.anyio


class CustomClient:
    """A program's own client, whose constructor and ``copy`` know nothing of a guard."""

    def __init__(self, *, team="none", **options):
        super().__init__(**options)
        self.team = team

    def copy(self, *, team=None, _extra_kwargs=None, **options):
        extra = {"team": team or self.team, **(_extra_kwargs or {})}
        return super().copy(_extra_kwargs=extra, **options)

    with_options = copy


class CustomSync(CustomClient, SYNC.guarded):
    pass


class CustomAsync(CustomClient, ASYNC.guarded):
    pass


class StrictSync(SYNC.guarded):
    """A program's own client, whose constructor takes exactly what it names."""

    def __init__(self, *, base_url=None, api_key=None, guard=None, **rest):
        super().__init__(base_url=base_url, api_key=api_key, guard=guard, **rest)


@pytest.mark.parametrize("name", ["copy", "with_options"])
async def test_copy_shares_guard_and_history(client, infer, name):
    copied = getattr(client, name)(timeout=300, default_headers={"x-mine": "1"})
    assert type(client) is type(copied)
    assert client.guard.config is copied.guard.config
    await infer(copied)
    assert (await done(client.guard.history())) == await done(copied.guard.history())
    assert "eligible" == (await done(client.guard.check())).verdict.value
    assert (300, "1") == (copied.timeout, copied.default_headers["x-mine"])
    assert copied._client is client._client


async def test_copy_with_a_guard_has_its_own_history(client, infer, sim, clock):
    copied = client.copy(guard=GuardConfig(store="memory", hosts=[sim.host], clock=clock))
    await infer(copied)
    assert {} == (await done(client.guard.history())).models
    with pytest.raises(NoInferenceRecordedError):
        await done(client.fine_tuning.jobs.create(model=BASE, training_file="file-x"))
    assert copied.guard.config is copied.with_options(timeout=300).guard.config


async def test_copied_subclass_with_its_own_constructor_keeps_the_guard(
    flavour, sim, configured, closing, model
):
    own = CustomAsync if flavour is ASYNC else CustomSync
    options = {"base_url": sim.base_url, "api_key": sim.organization().api_key}
    client = closing(own(team="research", guard=configured(), **options))
    for copied in (client.copy(), client.with_options(timeout=300).copy(team="sales")):
        assert type(copied) is own
        assert client.guard.config is copied.guard.config
    assert "sales" == copied.team
    await done(copied.chat.completions.create(model=model, messages=MESSAGES))
    assert [model] == list((await done(client.guard.history())).models)


def test_copied_subclass_may_list_the_guard_argument(sim, configured):
    options = {"base_url": sim.base_url, "api_key": "sk-test"}
    with StrictSync(guard=configured(), **options) as client:
        assert client.guard.config is client.copy().guard.config


def test_client_made_during_a_copy_does_not_share_its_guard(sim, configured):
    options = {"base_url": sim.base_url, "api_key": "sk-test"}
    with SYNC.guarded(guard=configured(), **options) as client:
        client.copy()
        with SYNC.guarded(guard=GuardConfig(store="memory"), **options) as other:
            assert other.guard.config is not client.guard.config
        with SYNC.guarded(**options) as plain:
            assert plain.guard.config is not client.guard.config
