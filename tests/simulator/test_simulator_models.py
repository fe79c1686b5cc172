from __future__ import annotations

from datetime import date, datetime, timezone

import openai
import pytest

from finetune_guard.domain.catalog import Lifetime, ModelCatalog
from finetune_guard.simulator import Simulator
from tests.support.constants import BASE, MESSAGES


def test_base_models_tell_their_end(client):
    """Base models carry their shutdown date, or null where none is announced."""
    assert client.models.retrieve(BASE).to_dict()["shutdown_date"] == "2027-01-14"
    assert client.models.retrieve("gpt-6-luna").to_dict()["shutdown_date"] is None


def test_own_models_are_listed(sim, client, model):
    """An organization sees its own fine-tunes beside the base models, and nobody else's."""
    other = sim.add_organization(slug="globex-77", api_key="sk-simulated-globex", models=[BASE])
    theirs = sim.add_model(other)

    listed = {item.id: item for item in client.models.list()}

    assert {BASE, model} <= set(listed)
    assert theirs not in listed
    assert listed[model].owned_by == "acme-28gund"
    assert "shutdown_date" not in listed[model].to_dict()
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve(theirs)


def test_deleting_a_model(client, model):
    """A deleted model is gone; base models can't be deleted."""
    assert client.models.delete(model).deleted is True

    with pytest.raises(openai.NotFoundError):
        client.models.retrieve(model)
    with pytest.raises(openai.NotFoundError):
        client.models.delete(model)
    with pytest.raises(openai.PermissionDeniedError):
        client.models.delete(BASE)


def test_unknown_models_are_not_found(client):
    """A model that does not exist is a 404 with the real text and code."""
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="ft:nothing", messages=MESSAGES)

    assert caught.value.code == "model_not_found"
    assert "does not exist or you do not have access to it" in str(caught.value)


def test_models_die_on_their_day(clock, client, model):
    """On its shutdown day a model, and every fine-tune of it, is deprecated, and no longer listed."""
    clock.set(datetime(2027, 1, 13, 23, 59, 59, tzinfo=timezone.utc))
    assert client.chat.completions.create(model=model, messages=MESSAGES).id

    clock.set(datetime(2027, 1, 14, tzinfo=timezone.utc))
    for gone in (BASE, model):
        with pytest.raises(openai.NotFoundError, match="has been deprecated, learn more here") as caught:
            client.chat.completions.create(model=gone, messages=MESSAGES)
        assert caught.value.code == "model_not_found"
    assert not {BASE, model} & {item.id for item in client.models.list()}


def test_dates_of_ones_own(clock, connect):
    """A catalog of one's own gives base models and fine-tunes the dates that a test needs."""
    row = Lifetime(id=BASE, shutdown=date(2026, 8, 3), fine_tunes_shutdown=date(2026, 8, 5))
    catalog = ModelCatalog(as_of=date(2026, 8, 1), source="https://example.com", base_models=(row,))
    with Simulator(
        clock=clock, catalog=catalog, models=[BASE], fine_tunes_carry_shutdown_date=True
    ) as simulator:
        client = connect(simulator)
        dates = {item.id: item.to_dict()["shutdown_date"] for item in client.models.list()}
        own = next(name for name in dates if name.startswith("ft:"))
        assert ("2026-08-03", "2026-08-05") == (dates[BASE], dates[own])

        clock.set(datetime(2026, 8, 4, tzinfo=timezone.utc))
        assert own == client.models.retrieve(own).id
        with pytest.raises(openai.NotFoundError, match="has been deprecated"):
            client.models.retrieve(BASE)
        clock.set(datetime(2026, 8, 5, tzinfo=timezone.utc))
        with pytest.raises(openai.NotFoundError, match="has been deprecated"):
            client.models.retrieve(own)
