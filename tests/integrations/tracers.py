"""Third-party tracers: each function yields a ``Tracer`` and removes it afterwards.

A function skips itself where its tracer isn't installed. Nothing that a tracer sees leaves the process.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import openai
import pytest


@dataclass(frozen=True)
class Tracer:
    """How a tracer is put on a client, and how many calls it has seen."""

    seen: Callable[[], int]
    wrap: Callable[[Any], Any] = lambda client: client  # what replaces the SDK's methods needs no more
    sync: type[Any] = openai.OpenAI
    asynchronous: type[Any] = openai.AsyncOpenAI
    wraps_ours: bool = True


@contextmanager
def braintrust():
    braintrust = pytest.importorskip("braintrust")
    helpers = pytest.importorskip("braintrust.test_helpers")
    with braintrust.logger._internal_with_memory_background_logger() as memory:
        helpers.init_test_logger("parcels")
        yield Tracer(lambda: len(memory.pop()), braintrust.wrap_openai)


@contextmanager
def langfuse():
    pytest.importorskip("langfuse.openai")
    spans, provider = _spans()
    client = sys.modules["langfuse"].Langfuse(
        public_key="pk-lf-test", secret_key="sk-lf-test", span_exporter=spans, tracer_provider=provider
    )

    def seen():
        client.flush()
        return _taken(spans)

    yield Tracer(seen)


@contextmanager
def langsmith():
    langsmith = pytest.importorskip("langsmith")
    wrappers = pytest.importorskip("langsmith.wrappers")
    runs = []

    class Memory(langsmith.Client):
        def create_run(self, *args, **options):
            runs.append(args)

        def update_run(self, *args, **options):
            pass

    memory = Memory(api_url="http://127.0.0.1:9", api_key="lsv2-test", auto_batch_tracing=False)
    extra = {"client": memory, "enabled": True}
    with langsmith.tracing_context(enabled=True):
        yield Tracer(lambda: _emptied(runs), lambda client: wrappers.wrap_openai(client, tracing_extra=extra))


@contextmanager
def logfire():
    logfire = pytest.importorskip("logfire")
    export = pytest.importorskip("opentelemetry.sdk.trace.export")
    spans = _exporter()
    logfire.configure(
        send_to_logfire=False, console=False, additional_span_processors=[export.SimpleSpanProcessor(spans)]
    )

    def wrap(client):
        logfire.instrument_openai(client)
        return client

    yield Tracer(lambda: _taken(spans), wrap)


@contextmanager
def opik():
    opik = pytest.importorskip("opik")
    integration = pytest.importorskip("opik.integrations.openai")
    before = [0]
    with opik.record_traces_locally() as memory:

        def seen():
            opik.flush_tracker()
            before.append(len(memory.trace_trees))
            return before[-1] - before[-2]

        yield Tracer(seen, integration.track_openai)


@contextmanager
def posthog():
    module = pytest.importorskip("posthog.ai.openai")
    events = []

    class Memory:
        privacy_mode = False

        def capture(self, *args, **options):
            events.append(options)

    yield Tracer(
        lambda: _emptied(events),
        sync=lambda **options: module.OpenAI(posthog_client=Memory(), **options),
        asynchronous=lambda **options: module.AsyncOpenAI(posthog_client=Memory(), **options),
        wraps_ours=False,  # it is a class of the SDK's clients, and can't be put on one
    )


@contextmanager
def sentry():
    sentry_sdk = pytest.importorskip("sentry_sdk")
    integration = pytest.importorskip("sentry_sdk.integrations.openai")
    transactions = []
    sentry_sdk.init(
        dsn="http://key@127.0.0.1:9/1",
        traces_sample_rate=1.0,
        default_integrations=False,
        integrations=[integration.OpenAIIntegration()],
        before_send_transaction=lambda event, _hint: transactions.append(event),
    )
    yield Tracer(lambda: _emptied(transactions))
    sentry_sdk.get_client().close()


@contextmanager
def _instrumentor(name):
    instrumentor = pytest.importorskip(name).OpenAIInstrumentor()
    spans, provider = _spans()
    instrumentor.instrument(tracer_provider=provider)
    try:
        yield Tracer(lambda: _taken(spans))
    finally:
        instrumentor.uninstrument()


def _exporter():
    module = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    return module.InMemorySpanExporter()


def _spans():
    spans, trace = _exporter(), pytest.importorskip("opentelemetry.sdk.trace")
    provider = trace.TracerProvider()
    provider.add_span_processor(sys.modules["opentelemetry.sdk.trace.export"].SimpleSpanProcessor(spans))
    return spans, provider


def _taken(spans):
    count = len(spans.get_finished_spans())
    spans.clear()
    return count


def _emptied(seen):
    count = len(seen)
    seen.clear()
    return count


TRACERS = {
    **{start.__name__: start for start in (braintrust, langfuse, langsmith, logfire, opik, posthog, sentry)},
    "openinference": partial(_instrumentor, "openinference.instrumentation.openai"),
    "opentelemetry": partial(_instrumentor, "opentelemetry.instrumentation.openai"),
    "opentelemetry_contrib": partial(_instrumentor, "opentelemetry.instrumentation.openai_v2"),
}
