from __future__ import annotations

from datetime import date, datetime, timezone

import openai
import pytest

from finetune_guard.domain.catalog import Lifetime, ModelCatalog
from finetune_guard.simulator import Simulator
from tests.support.constants import BASE, MESSAGES


def test_models_show_their_shutdown_date_or_owner(client, model):
    listed = {item.id: item for item in client.models.list()}
    dates = {
        name: listed[name].to_dict().get("shutdown_date", "none") for name in (BASE, "gpt-6-luna", model)
    }
    assert {BASE: "2027-01-14", "gpt-6-luna": None, model: "none"} == dates
    assert "acme-28gund" == listed[model].owned_by


def test_deleted_model_is_a_404_and_base_models_stay(client, model):
    assert client.models.delete(model).deleted is True
    for removed in (
        client.models.retrieve,
        client.models.delete,
        lambda name: client.chat.completions.create(model=name, messages=MESSAGES),
    ):
        with pytest.raises(openai.NotFoundError) as caught:
            removed(model)
    assert "does not exist or you do not have access to it" in str(caught.value)
    assert "model_not_found" == caught.value.code
    with pytest.raises(openai.PermissionDeniedError):
        client.models.delete(BASE)


def test_models_are_shut_down_on_their_date(clock, client, model):
    clock.set(datetime(2027, 1, 13, 23, 59, 59, tzinfo=timezone.utc))
    assert client.chat.completions.create(model=model, messages=MESSAGES).id

    clock.set(datetime(2027, 1, 14, tzinfo=timezone.utc))
    for shut_down in (BASE, model):
        with pytest.raises(openai.NotFoundError, match="has been deprecated, learn more here") as caught:
            client.chat.completions.create(model=shut_down, messages=MESSAGES)
        assert "model_not_found" == caught.value.code
    assert not {BASE, model} & {item.id for item in client.models.list()}


def test_custom_catalog_sets_shutdown_dates(clock, connect):
    row = Lifetime(id=BASE, shutdown=date(2026, 8, 3), fine_tunes_shutdown=date(2026, 8, 5))
    catalog = ModelCatalog(as_of=date(2026, 8, 1), source="https://example.com", base_models=(row,))
    options = {"catalog": catalog, "models": [BASE], "fine_tunes_carry_shutdown_date": True}
    with Simulator(clock=clock, **options) as simulator:
        client = connect(simulator)
        dates = {item.id: item.to_dict()["shutdown_date"] for item in client.models.list()}
        own = next(name for name in dates if name.startswith("ft:"))
        assert ("2026-08-03", "2026-08-05") == (dates[BASE], dates[own])
        clock.set(datetime(2026, 8, 4, tzinfo=timezone.utc))
        assert own == client.models.retrieve(own).id
        for day, shut_down in ((4, BASE), (5, own)):
            clock.set(datetime(2026, 8, day, tzinfo=timezone.utc))
            with pytest.raises(openai.NotFoundError, match="has been deprecated"):
                client.models.retrieve(shut_down)
