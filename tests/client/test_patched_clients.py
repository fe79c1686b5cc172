"""``guard(client)`` of a client that somebody has patched: the patch is kept, or guarding it is an error."""

from __future__ import annotations

import functools
import types

import openai
import pytest

from finetune_guard import GuardConfigError, guard
from tests.client.flavours import ASYNC, done

pytestmark = pytest.mark.anyio


class Tracer:
    """Keeps what it sees, as a tracer's own client does; ``clients`` leads to all that it has patched."""

    def __init__(self):
        self.seen = []
        self.clients = []

    def around(self, function):
        """Wrap ``function``, whose result may have to be awaited."""

        @functools.wraps(function)
        def traced(*args, **options):
            self.seen.append(function.__name__)
            return function(*args, **options)

        return traced

    def call(self, function, *args, **options):
        self.seen.append(function.__name__)
        return function(*args, **options)


def request_replaced(client, tracer):
    client.original_request = client.request
    client.request = tracer.around(client.request)


def method_replaced(client, tracer):
    client.chat.completions.create = tracer.around(client.chat.completions.create)


def method_replaced_twice(client, tracer):
    method_replaced(client, Tracer())
    method_replaced(client, tracer)


def partial(client, tracer):
    client.chat.completions.create = functools.partial(tracer.call, client.chat.completions.create)


def tracer_that_knows_its_clients(client, tracer):
    tracer.clients.append({"client": client})
    method_replaced(client, tracer)


def arguments_by_default(client, tracer):
    def create(*args, create=client.chat.completions.create, inside=(client,), **options):
        assert client is inside[0]
        return tracer.call(create, *args, **options)

    client.chat.completions.create = create


def resource_replaced(client, tracer):
    client.original_chat = client.chat
    completions = WrappedCompletions(client, client.chat.completions, tracer)
    client.chat = WrappedChat(client, completions)


class WrappedChat:
    """What a subclass of the SDK's client puts in the place of a resource."""

    def __init__(self, client, completions):
        self.client = client
        self.completions = completions


class WrappedCompletions(WrappedChat):
    def __init__(self, client, completions, tracer):
        super().__init__(client, completions)
        self.tracer = tracer

    def create(self, **options):
        assert self is self.client.chat.completions
        return self.tracer.call(self.completions.create, **options)


PATCHES = (
    request_replaced,
    method_replaced,
    method_replaced_twice,
    partial,
    tracer_that_knows_its_clients,
    arguments_by_default,
    resource_replaced,
)


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.__name__)
async def test_guarded_client_keeps_the_patch_and_sees_every_call(bare, configured, infer, patch):
    tracer = Tracer()
    patch(bare, tracer)
    guarded = guard(bare, configured())
    for times in (1, 2):
        await infer(guarded)
        assert times == len(tracer.seen)
        assert [times] == await counts(guarded)
    await infer(bare)
    assert 3 == len(tracer.seen)
    assert [2] == await counts(guarded)


async def test_patched_guarded_client_can_get_another_configuration(client, configured, infer):
    tracer = Tracer()
    method_replaced(client, tracer)
    other = guard(client, configured(store="memory"))
    assert (type(client), False) == (type(other), other is client)
    await infer(other)
    assert 1 == len(tracer.seen)
    assert ([], [1]) == (await counts(client), await counts(other))


async def counts(client):
    return [sum(sources.values()) for sources in (await done(client.guard.history())).daily.values()]


def of_another_kind(client):
    client.chat.completions.create = functools.lru_cache(client.chat.completions.create)


def in_another_kind(client):
    client.labels = {"views": types.SimpleNamespace(chat=client.chat)}


def by_a_global_name(client):
    def create(*args, **options):
        return original(*args, **options)  # noqa: F821 -- a global of the program's own module

    names = {"original": client.chat.completions.create}
    client.chat.completions.create = types.FunctionType(create.__code__, names)


@pytest.mark.parametrize(
    ("patch", "says"),
    [
        (of_another_kind, ".chat.completions.create is of type functools._lru_cache_wrapper"),
        (in_another_kind, ".labels['views'] is of type types.SimpleNamespace"),
        (by_a_global_name, ".chat.completions.create uses the global 'original', which leads to the client"),
    ],
)
async def test_patch_that_bypasses_the_guard_is_an_error(bare, configured, patch, says):
    """The error names its place and the order that works."""
    patch(bare)
    with pytest.raises(GuardConfigError) as caught:
        guard(bare, configured())
    assert f"can't guard this {type(bare).__name__}: {says}" in str(caught.value)
    assert "Guard the client first" in caught.value.remedy


async def test_other_attributes_are_shared(flavour, sim, configured, closing):
    bare = closing(flavour.bare(base_url=sim.base_url, api_key="sk-test"))
    bare.cache, bare.tracer = {"parts": [1]}, Tracer()
    twin = guard(bare, configured())
    assert (bare.cache, bare.tracer) == (twin.cache, twin.tracer)
    assert bare.cache is twin.cache
    assert isinstance(twin, openai.AsyncOpenAI if flavour is ASYNC else openai.OpenAI)
