"""Programs that use a framework with a guarded client, one per function.

A program runs at least one inference on ``bench.model`` each way that its framework knows: sync, async,
streamed, structured. It skips itself where the framework isn't installed.
"""

from __future__ import annotations

import sys

import openai
import pytest

import finetune_guard
from tests.client.flavours import done, entered
from tests.integrations.bench import Bench, Parcel
from tests.support.constants import MESSAGES

PROMPT = MESSAGES[0]["content"]


async def instructor_structured(bench: Bench):
    """Instructor's ``from_openai`` returns models, streams partial ones, and validates, on both halves."""
    instructor = pytest.importorskip("instructor")
    for mode in (instructor.Mode.TOOLS, instructor.Mode.JSON_SCHEMA):
        request = {"model": bench.model, "messages": MESSAGES, "response_model": Parcel}
        sync = instructor.from_openai(bench.client(), mode=mode)
        assert isinstance(sync.chat.completions.create(**request), Parcel)
        assert list(sync.chat.completions.create_partial(**request))
        asynchronous = instructor.from_openai(bench.async_client(), mode=mode)
        assert isinstance(await asynchronous.chat.completions.create(**request), Parcel)
        assert [part async for part in asynchronous.chat.completions.create_partial(**request)]


async def langchain_chat(bench: Bench):
    """``ChatOpenAI`` takes guarded clients for its two halves: invoke, stream, batch, structured output."""
    langchain = pytest.importorskip("langchain_openai")
    sync, asynchronous = bench.client(), bench.async_client()
    for api in ({}, {"use_responses_api": True}):
        chat = langchain.ChatOpenAI(
            model=bench.model,
            root_client=sync,
            client=sync.chat.completions,
            root_async_client=asynchronous,
            async_client=asynchronous.chat.completions,
            **api,
        )
        await _use_langchain(chat)


async def langchain_made_the_client(bench: Bench):
    """The clients that ``ChatOpenAI`` makes can be guarded afterwards."""
    langchain = pytest.importorskip("langchain_openai")
    chat = langchain.ChatOpenAI(model=bench.model)
    chat.root_client = finetune_guard.guard(chat.root_client, bench.config)
    chat.client = chat.root_client.chat.completions
    chat.root_async_client = finetune_guard.guard(chat.root_async_client, bench.config)
    chat.async_client = chat.root_async_client.chat.completions
    await _use_langchain(chat)


async def _use_langchain(chat):
    assert chat.invoke(PROMPT).text
    assert [part.text for part in chat.stream(PROMPT)]
    assert len(chat.batch([PROMPT, PROMPT])) == 2
    assert isinstance(chat.with_structured_output(Parcel).invoke(PROMPT), Parcel)
    assert (await chat.ainvoke(PROMPT)).text
    assert [part.text async for part in chat.astream(PROMPT)]
    assert isinstance(await chat.with_structured_output(Parcel).ainvoke(PROMPT), Parcel)


async def openai_agents(bench: Bench):
    """A guarded client as the Agents SDK's default runs agents on both APIs, streamed and structured."""
    agents = pytest.importorskip("agents")
    agents.set_tracing_disabled(disabled=True)
    agents.set_default_openai_client(bench.async_client(), use_for_tracing=False)
    for api in ("responses", "chat_completions"):
        agents.set_default_openai_api(api)
        agent = agents.Agent(name="Support", instructions="Be short.", model=bench.model)
        assert (await agents.Runner.run(agent, PROMPT)).final_output
        streamed = agents.Runner.run_streamed(agent, PROMPT)
        assert [event.type async for event in streamed.stream_events()]
        agent = agents.Agent(name="Support", model=bench.model, output_type=Parcel)
        assert isinstance((await agents.Runner.run(agent, PROMPT)).final_output, Parcel)


async def pydantic_ai(bench: Bench):
    """A provider around a guarded client runs agents on both APIs, streamed and structured."""
    ai = pytest.importorskip("pydantic_ai")
    models = pytest.importorskip("pydantic_ai.models.openai")
    providers = pytest.importorskip("pydantic_ai.providers.openai")
    for kind in (models.OpenAIChatModel, models.OpenAIResponsesModel):
        model = kind(bench.model, provider=providers.OpenAIProvider(openai_client=bench.async_client()))
        assert (await ai.Agent(model).run(PROMPT)).output
        async with ai.Agent(model).run_stream(PROMPT) as streamed:
            assert [text async for text in streamed.stream_text()]
        structured = ai.Agent(model, output_type=Parcel)
        assert isinstance((await structured.run(PROMPT)).output, Parcel)


async def llama_index(bench: Bench):
    """LlamaIndex's ``OpenAI`` takes guarded clients for its two halves: complete, chat, stream."""
    pytest.importorskip("llama_index.llms.openai")
    llms = sys.modules["llama_index.llms.openai"]
    core = pytest.importorskip("llama_index.core.llms")
    llm = llms.OpenAI(
        model=bench.model, openai_client=bench.client(), async_openai_client=bench.async_client()
    )
    chat = [core.ChatMessage(role="user", content=PROMPT)]
    assert llm.complete(PROMPT).text
    assert llm.chat(chat).message.content
    assert [part.delta for part in llm.stream_chat(chat)]
    assert isinstance(llm.as_structured_llm(Parcel).complete(PROMPT).raw, Parcel)
    assert (await llm.acomplete(PROMPT)).text
    assert [part.delta async for part in await llm.astream_chat(chat)]


async def litellm_completion(bench: Bench):
    """``litellm.completion`` and ``acompletion`` go through the guarded client that they are given."""
    litellm = pytest.importorskip("litellm")
    request = {"model": f"openai/{bench.model}", "messages": MESSAGES}
    sync, asynchronous = bench.client(), bench.async_client()
    assert litellm.completion(**request, client=sync).choices
    assert list(litellm.completion(**request, client=sync, stream=True))
    assert litellm.completion(**request, client=sync, response_format=Parcel).choices
    assert (await litellm.acompletion(**request, client=asynchronous)).choices
    assert [part async for part in await litellm.acompletion(**request, client=asynchronous, stream=True)]


async def langfuse_drop_in(bench: Bench):
    """Langfuse's own drop-in takes its own arguments beside the SDK's when it is guarded."""
    pytest.importorskip("langfuse.openai")
    langfuse = sys.modules["langfuse.openai"]
    for theirs in (langfuse.OpenAI(max_retries=0), langfuse.AsyncOpenAI(max_retries=0)):
        client = finetune_guard.guard(theirs, bench.config)
        await done(client.chat.completions.create(model=bench.model, messages=MESSAGES, name="support"))


async def instructor_patched(bench: Bench):
    """A client that ``instructor.patch`` has patched can be guarded, and a guarded one patched."""
    instructor = pytest.importorskip("instructor")
    request = {"model": bench.model, "messages": MESSAGES, "response_model": Parcel}
    guarded = finetune_guard.guard(instructor.patch(openai.OpenAI(max_retries=0)), bench.config)
    for client in (guarded, instructor.patch(bench.client())):
        assert isinstance(client.chat.completions.create(**request), Parcel)


async def use_sdk(client, model):
    """Runs an inference on ``model`` in each of the SDK's own ways."""
    chat = {"model": model, "messages": MESSAGES}
    assert (await done(client.chat.completions.create(**chat))).choices
    assert await _listed(client, await done(client.chat.completions.create(**chat, stream=True)))
    assert (await done(client.responses.create(model=model, input=PROMPT))).output_text
    assert await _listed(client, await done(client.responses.create(model=model, input=PROMPT, stream=True)))
    async with entered(client.chat.completions.with_streaming_response.create(**chat)) as response:
        assert b"choices" in await done(response.read())
    raw = await done(client.chat.completions.with_raw_response.create(**chat))
    assert raw.parse().choices
    parsed = await done(client.responses.parse(model=model, input=PROMPT, text_format=Parcel))
    assert isinstance(parsed.output_parsed, Parcel)


async def _listed(client, stream):
    # A tracer's stream can have the methods of both kinds, so that the client tells which it is.
    is_async = isinstance(client, openai.AsyncOpenAI)
    return [part async for part in stream] if is_async else list(stream)


PROGRAMS = (
    instructor_patched,
    instructor_structured,
    langchain_chat,
    langchain_made_the_client,
    langfuse_drop_in,
    litellm_completion,
    llama_index,
    openai_agents,
    pydantic_ai,
)
