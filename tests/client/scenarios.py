"""What programs do with a client: each takes a client, ours or the SDK's, and a model, and tells what it saw.

A scenario that an SDK release can't do at all is skipped for it.
"""

from __future__ import annotations

import pytest
from openai.types.chat import ChatCompletion
from pydantic import BaseModel

from tests.client.both_ways import done, entered, every, first_of, listed
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


async def chat(client, model):
    return await done(client.chat.completions.create(model=model, messages=MESSAGES))


async def chat_stream(client, model):
    stream = await done(client.chat.completions.create(model=model, messages=MESSAGES, stream=True))
    return [type(stream).__name__, *await listed(stream)]


async def chat_stream_closed_early(client, model):
    stream = await done(client.chat.completions.create(model=model, messages=MESSAGES, stream=True))
    first = await first_of(stream)
    await done(stream.close())
    return first


async def chat_stream_as_a_context(client, model):
    async with entered(
        await done(client.chat.completions.create(model=model, messages=MESSAGES, stream=True))
    ) as stream:
        return await first_of(stream)


async def chat_stream_abandoned(client, model):
    stream = await done(client.chat.completions.create(model=model, messages=MESSAGES, stream=True))
    return stream.response.status_code


async def chat_raw(client, model):
    raw = await done(client.chat.completions.with_raw_response.create(model=model, messages=MESSAGES))
    return [type(raw).__name__, raw.status_code, raw.headers["openai-organization"], raw.parse(), raw.text]


async def chat_raw_stream(client, model):
    raw = await done(
        client.chat.completions.with_raw_response.create(model=model, messages=MESSAGES, stream=True)
    )
    return [raw.status_code, *await listed(raw.parse())]


async def chat_streaming_response(client, model):
    create = client.chat.completions.with_streaming_response.create
    async with entered(create(model=model, messages=MESSAGES)) as response:
        return [type(response).__name__, response.status_code, await done(response.parse())]


async def chat_streaming_response_lines(client, model):
    create = client.chat.completions.with_streaming_response.create
    async with entered(create(model=model, messages=MESSAGES, stream=True)) as response:
        return [line async for line in every(response.iter_lines())]


async def chat_streaming_response_unread(client, model):
    create = client.chat.completions.with_streaming_response.create
    async with entered(create(model=model, messages=MESSAGES)) as response:
        return response.headers["content-type"]


async def chat_parse(client, model):
    completions = client.chat.completions if hasattr(client.chat.completions, "parse") else None
    parse = needs(completions or client.beta.chat.completions, "parse")
    return await done(parse(model=model, messages=MESSAGES, response_format=Verdict))


async def chat_stream_helper(client, model):
    completions = client.chat.completions if hasattr(client.chat.completions, "stream") else None
    stream = needs(completions or client.beta.chat.completions, "stream")
    async with entered(stream(model=model, messages=MESSAGES, response_format=Verdict)) as events:
        kinds = [event.type async for event in every(events)]
        return [*kinds, await done(events.get_final_completion())]


async def responses(client, model):
    return await done(needs(client, "responses").create(model=model, input="hello"))


async def responses_stream(client, model):
    create = needs(client, "responses").create
    return await listed(await done(create(model=model, input="hello", stream=True)))


async def responses_stream_closed_early(client, model):
    create = needs(client, "responses").create
    async with entered(await done(create(model=model, input="hello", stream=True))) as stream:
        return await first_of(stream)


async def responses_raw(client, model):
    create = needs(client, "responses").with_raw_response.create
    raw = await done(create(model=model, input="hello"))
    return [raw.status_code, raw.parse()]


async def responses_parse(client, model):
    parse = needs(needs(client, "responses"), "parse")
    return await done(parse(model=model, input="hello", text_format=Verdict))


async def responses_stream_helper(client, model):
    stream = needs(needs(client, "responses"), "stream")
    async with entered(stream(model=model, input="hello", text_format=Verdict)) as events:
        kinds = [event.type async for event in every(events)]
        return [*kinds, await done(events.get_final_response())]


async def with_options(client, model):
    return await chat(client.with_options(timeout=20, max_retries=1), model)


async def copied(client, model):
    return await chat(client.copy(default_headers={"x-mine": "1"}), model)


async def post_relative(client, model):
    body = {"model": model, "messages": MESSAGES}
    return await done(client.post("/chat/completions", body=body, cast_to=ChatCompletion))


async def post_unslashed(client, model):
    body = {"model": model, "messages": MESSAGES}
    return await done(client.post("chat/completions", body=body, cast_to=ChatCompletion))


async def post_absolute(client, model):
    body = {"model": model, "messages": MESSAGES}
    url = f"{str(client.base_url).rstrip('/')}/chat/completions"
    return await done(client.post(url, body=body, cast_to=ChatCompletion))


async def extra_body(client, model):
    create = client.chat.completions.create
    return await done(create(model="gpt-4o-mini", messages=MESSAGES, extra_body={"model": model}))


async def cast_to_object(client, model):
    body = {"model": model, "messages": MESSAGES}
    return await done(client.post("/chat/completions", body=body, cast_to=object))


UNFINISHED = (chat_stream_abandoned, responses_stream_closed_early)
"""Ways to call a chat model and leave before it has said anything; none shows an inference."""

INFERENCES = (
    chat,
    chat_stream,
    chat_stream_closed_early,
    chat_stream_as_a_context,
    chat_raw,
    chat_raw_stream,
    chat_streaming_response,
    chat_streaming_response_lines,
    chat_streaming_response_unread,
    chat_parse,
    chat_stream_helper,
    responses,
    responses_stream,
    responses_raw,
    responses_parse,
    responses_stream_helper,
    with_options,
    copied,
    post_relative,
    post_unslashed,
    post_absolute,
    extra_body,
    cast_to_object,
)
"""Ways to call a chat model; each is one inference."""


async def completion(client, model):
    return await done(client.completions.create(model=model, prompt="hello"))


async def completion_stream(client, model):
    return await listed(await done(client.completions.create(model=model, prompt="hello", stream=True)))


COMPLETIONS = (completion, completion_stream)
"""Ways to call a model that only completes; each is one inference."""


async def model_list(client, _):
    return await listed(await done(client.models.list()))


async def model_pages(client, _):
    return [item.id async for item in every(client.models.list())]


async def job_pages(client, _):
    return [job.id async for job in every(client.fine_tuning.jobs.list(limit=1))]


async def embedding(client, _):
    return await done(client.embeddings.create(model="text-embedding-3-small", input="hello"))


async def base_chat(client, _):
    return await chat(client, "gpt-4o-mini")


async def file_round_trip(client, _):
    file = await done(client.files.create(file=("notes.txt", b"some notes"), purpose="user_data"))
    content = await done(client.files.content(file.id))
    return [file.filename, content.read(), await done(client.files.delete(file.id))]


OTHER_CALLS = (model_list, model_pages, job_pages, embedding, base_chat, file_round_trip)
"""Calls that the guard has nothing to do with."""
