"""Introspection of guarded classes and clients works as with the SDK's own."""

from __future__ import annotations

import gc
import typing
import warnings
import weakref

import openai
import pytest

import finetune_guard
from finetune_guard import GuardConfig
from tests.support.constants import MESSAGES


@pytest.mark.parametrize("half", ["OpenAI", "AsyncOpenAI", "AzureOpenAI", "AsyncAzureOpenAI"])
@pytest.mark.parametrize("method", ["__init__", "copy", "with_options"])
def test_type_hints_are_the_sdks(half, method):
    theirs = typing.get_type_hints(getattr(getattr(openai, half), method))
    ours = typing.get_type_hints(getattr(getattr(finetune_guard, half), method))
    assert ours.pop("guard") is not None
    assert ours == theirs


def test_mixins_work_before_and_after_the_client(bench):
    class Tenant:
        def __init__(self, *args, tenant=None, **options):
            super().__init__(*args, **options)
            self.tenant = tenant

    class Before(Tenant, finetune_guard.OpenAI): ...

    class After(finetune_guard.OpenAI, Tenant): ...

    client = Before(tenant="acme", guard=bench.config)
    assert client.tenant == "acme"
    for each_client in (client, client.copy(), After(guard=bench.config)):
        each_client.chat.completions.create(model=bench.model, messages=MESSAGES)
    assert bench.remembered == bench.served == 3


def test_guarded_classes_are_collected():
    class OfOneRequest(openai.OpenAI): ...

    reference = weakref.ref(OfOneRequest)
    guarded = finetune_guard.guard(OfOneRequest(api_key="sk-x"), GuardConfig(store="memory"))
    assert isinstance(guarded, OfOneRequest)
    del OfOneRequest, guarded
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # of what other tests have left behind
        gc.collect()
    assert reference() is None
