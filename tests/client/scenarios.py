"""Scenarios: each uses a client, guarded or the SDK's own, with a model, and returns what it observed."""

from __future__ import annotations

import pytest
from openai.types.chat import ChatCompletion
from pydantic import BaseModel

from tests.client.flavours import done, entered, every, first_of, listed
from tests.support.constants import MESSAGES


class Verdict(BaseModel):
    good: bool
    why: str


def needs(owner, name):
    """Return the method, or skip the test: this release of the SDK doesn't have it."""
    method = getattr(owner, name, None)
    if method is None:
        pytest.skip(f"this release of openai has no {name}")
    return method


def completions(client, name):
    """Return a method of chats that older releases have as a beta alone."""
    has = hasattr(client.chat.completions, name)
    return needs(client.chat.completions if has else client.beta.chat.completions, name)


def chat(client, model, **options):
    return done(client.chat.completions.create(model=model, messages=MESSAGES, **options))


async def chat_stream(client, model):
    stream = await chat(client, model, stream=True)
    return [type(stream).__name__, *await listed(stream)]


async def chat_stream_closed_early(client, model):
    stream = await chat(client, model, stream=True)
    first = await first_of(stream)
    await done(stream.close())
    return first


async def chat_stream_as_a_context(client, model):
    async with entered(await chat(client, model, stream=True)) as stream:
        return await first_of(stream)


async def chat_stream_abandoned(client, model):
    return (await chat(client, model, stream=True)).response.status_code


async def chat_raw(client, model):
    raw = await done(client.chat.completions.with_raw_response.create(model=model, messages=MESSAGES))
    return [type(raw).__name__, raw.status_code, raw.headers["openai-organization"], raw.parse(), raw.text]


async def chat_raw_stream(client, model):
    create = client.chat.completions.with_raw_response.create
    raw = await done(create(model=model, messages=MESSAGES, stream=True))
    return [raw.status_code, *await listed(raw.parse())]


def streaming(client, model, **options):
    create = client.chat.completions.with_streaming_response.create
    return entered(create(model=model, messages=MESSAGES, **options))


async def streaming_response(client, model):
    async with streaming(client, model) as response:
        return [type(response).__name__, response.status_code, await done(response.parse())]


async def streaming_response_lines(client, model):
    async with streaming(client, model, stream=True) as response:
        return [line async for line in every(response.iter_lines())]


async def streaming_response_unread(client, model):
    async with streaming(client, model) as response:
        return response.headers["content-type"]


async def chat_parse(client, model):
    parse = completions(client, "parse")
    return await done(parse(model=model, messages=MESSAGES, response_format=Verdict))


async def chat_stream_helper(client, model):
    stream = completions(client, "stream")
    async with entered(stream(model=model, messages=MESSAGES, response_format=Verdict)) as events:
        kinds = [event.type async for event in every(events)]
        return [*kinds, await done(events.get_final_completion())]


def responses(client, model, **options):
    return done(needs(client, "responses").create(model=model, input="hello", **options))


async def responses_stream(client, model):
    return await listed(await responses(client, model, stream=True))


async def responses_stream_closed_early(client, model):
    async with entered(await responses(client, model, stream=True)) as stream:
        return await first_of(stream)


async def responses_raw(client, model):
    raw = await done(needs(client, "responses").with_raw_response.create(model=model, input="hello"))
    return [raw.status_code, raw.parse()]


async def responses_parse(client, model):
    parse = needs(needs(client, "responses"), "parse")
    return await done(parse(model=model, input="hello", text_format=Verdict))


async def responses_stream_helper(client, model):
    stream = needs(needs(client, "responses"), "stream")
    async with entered(stream(model=model, input="hello", text_format=Verdict)) as events:
        kinds = [event.type async for event in every(events)]
        return [*kinds, await done(events.get_final_response())]


def with_options(client, model):
    return chat(client.with_options(timeout=300, max_retries=1), model)


def copied(client, model):
    return chat(client.copy(default_headers={"x-mine": "1"}), model)


def post_unslashed(client, model, url="chat/completions", cast_to=ChatCompletion):
    return done(client.post(url, body={"model": model, "messages": MESSAGES}, cast_to=cast_to))


def post_absolute(client, model):
    return post_unslashed(client, model, f"{str(client.base_url).rstrip('/')}/chat/completions")


def cast_to_object(client, model):
    return post_unslashed(client, model, "/chat/completions", object)


def extra_body(client, model):
    return chat(client, "gpt-4o-mini", extra_body={"model": model})


UNFINISHED = (chat_stream_abandoned, responses_stream_closed_early)
"""Ways to call a chat model and leave before it has said anything; none shows an inference."""

INFERENCES = (
    *(chat, chat_stream, chat_stream_closed_early, chat_stream_as_a_context, chat_raw, chat_raw_stream),
    *(
        streaming_response,
        streaming_response_lines,
        streaming_response_unread,
        chat_parse,
        chat_stream_helper,
    ),
    *(responses, responses_stream, responses_raw, responses_parse, responses_stream_helper),
    *(with_options, copied, post_unslashed, post_absolute, cast_to_object, extra_body),
)
"""Ways to call a chat model; each is one inference."""


def completion(client, model, **options):
    return done(client.completions.create(model=model, prompt="hello", **options))


async def completion_stream(client, model):
    return await listed(await completion(client, model, stream=True))


COMPLETIONS = (completion, completion_stream)
"""Ways to call a model that only completes; each is one inference."""


async def model_pages(client, _):
    return [item.id async for item in every(client.models.list())]


async def job_pages(client, _):
    return [job.id async for job in every(client.fine_tuning.jobs.list(limit=1))]


def embedding(client, _):
    return done(client.embeddings.create(model="text-embedding-3-small", input="hello"))


def base_chat(client, _):
    return chat(client, "gpt-4o-mini")


async def file_round_trip(client, _):
    file = await done(client.files.create(file=("notes.txt", b"some notes"), purpose="user_data"))
    content = await done(client.files.content(file.id))
    return [file.filename, content.read(), await done(client.files.delete(file.id))]


OTHER_CALLS = (model_pages, job_pages, embedding, base_chat, file_round_trip)
"""Calls that the guard has nothing to do with."""
