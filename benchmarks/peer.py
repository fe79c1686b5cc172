"""A program with one observed client, in its own environment, that makes calls on command.

``python peer.py NAME URL SINK`` prints "ready"; then it reads numbers of calls, makes each, and prints the
CPU and wall seconds they took. The observing library is set up as documented, but exports to nothing: an
exporter that drops the data, a list in memory, or a local server.
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import openai

KEY = "sk-proj-" + "k" * 156
MODEL = "ft:gpt-4o-mini-2024-07-18:acme:support-bot:AbC123xY"
MESSAGES: Any = [{"role": "user", "content": "Where is my parcel 4711?"}]


def bare(client: Any, _: str) -> Any:
    return client


def ours(client: Any, _: str) -> Any:
    from finetune_guard import GuardConfig, guard  # noqa: PLC0415 -- not in the other environments

    return guard(client, GuardConfig(store=tempfile.mkdtemp(), hosts=("127.0.0.1",)))


def langfuse(client: Any, _: str) -> Any:
    from langfuse import Langfuse  # noqa: PLC0415 -- only in its own environment

    Langfuse(public_key="pk-lf-none", secret_key="sk-lf-none", span_exporter=_null_exporter())
    importlib.import_module("langfuse.openai")  # this patches the SDK
    return client


def langsmith(client: Any, sink: str) -> Any:
    os.environ["LANGSMITH_TRACING"] = "true"
    from langsmith import Client  # noqa: PLC0415
    from langsmith.wrappers import wrap_openai  # noqa: PLC0415

    return wrap_openai(client, tracing_extra={"client": Client(api_url=sink, api_key="none")})


def logfire(client: Any, _: str) -> Any:
    import logfire  # noqa: PLC0415

    logfire.configure(send_to_logfire=False, console=False, additional_span_processors=[_batches()])
    logfire.instrument_openai(client)
    return client


def braintrust(client: Any, _: str) -> Any:
    import braintrust  # noqa: PLC0415
    from braintrust import logger  # noqa: PLC0415

    kept = logger._internal_with_memory_background_logger()
    kept.__enter__()  # until the process ends
    logger.login(api_key=logger.TEST_API_KEY)
    metadata = logger.OrgProjectMetadata(
        org_id="none", project=logger.ObjectMetadata(id="none", name="none", full_info={})
    )
    logs = logger.init_logger(project="none")
    logs._lazy_metadata = logger.LazyValue(lambda: metadata, use_mutex=False)
    logger._compute_logger_metadata = lambda *_, **__: metadata
    return braintrust.wrap_openai(client)


def opentelemetry(client: Any, _: str) -> Any:
    from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor  # noqa: PLC0415

    OpenAIInstrumentor().instrument(tracer_provider=_provider())
    return client


def openinference(client: Any, _: str) -> Any:
    from openinference.instrumentation.openai import OpenAIInstrumentor  # noqa: PLC0415

    OpenAIInstrumentor().instrument(tracer_provider=_provider())
    return client


def _null_exporter() -> Any:
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult  # noqa: PLC0415

    exporters.append(SpanExporter)

    class NullExporter(SpanExporter):
        def export(self, spans: Any) -> Any:
            seen.extend(spans[:1])
            return SpanExportResult.SUCCESS

    return NullExporter()


def _batches() -> Any:
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    return BatchSpanProcessor(_null_exporter())


def _provider() -> Any:
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415

    provider = TracerProvider()
    provider.add_span_processor(_batches())
    return provider


seen: list[object] = []
exporters: list[object] = []
SETUPS: dict[str, Callable[[Any, str], Any]] = {
    "bare": bare,
    "bare again": bare,
    "ours": ours,
    "langfuse": langfuse,
    "langsmith": langsmith,
    "logfire": logfire,
    "braintrust": braintrust,
    "opentelemetry-instrumentation-openai-v2": opentelemetry,
    "openinference-instrumentation-openai": openinference,
}


def main(name: str, url: str, sink: str) -> None:
    """Set the client up, and make calls."""
    client = SETUPS[name](openai.OpenAI(api_key=KEY, base_url=url), sink)
    calls(client, 600)  # more than are exported at once
    waits = time.monotonic() + 20
    while exporters and not seen:
        if time.monotonic() > waits:
            sys.exit("it has seen none of the calls")
        time.sleep(0.1)
    print("ready", flush=True)
    for line in sys.stdin:
        cpu, passed = time.process_time(), time.perf_counter()
        calls(client, int(line))
        print(time.process_time() - cpu, time.perf_counter() - passed, flush=True)


def calls(client: Any, count: int) -> None:
    """Make ``count`` calls."""
    for _ in range(count):
        client.chat.completions.create(model=MODEL, messages=MESSAGES)


if __name__ == "__main__":
    main(*sys.argv[1:])
