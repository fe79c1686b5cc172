"""Metrics and span events for programs that use OpenTelemetry, and nothing for others."""

from __future__ import annotations

import json
import weakref

import pytest

from finetune_guard.engine import telemetry
from finetune_guard.stores.memory import MemoryStore
from tests.client.test_own_requests import FAILING_POLICY
from tests.support.azure import chat
from tests.support.constants import BASE

pytest.importorskip("opentelemetry.sdk")

PROGRAM = """
import asyncio, inspect, json, sys
from datetime import timedelta
import finetune_guard

flavour, model = sys.argv[1:]
client = (finetune_guard.AsyncOpenAI if flavour == "async" else finetune_guard.OpenAI)(max_retries=0)

async def done(value):
    return await value if inspect.isawaitable(value) else value

async def infer():
    await done(client.chat.completions.create(model=model, messages=[{"role": "user", "content": "hi"}]))

async def create(client=client):
    try:
        await done(client.fine_tuning.jobs.create(model="MODEL", training_file="file-x"))
    except Exception as error:
        return type(error).__name__

async def main():
    errors = [await create()]  # not measured: nobody has imported OpenTelemetry yet
    assert not [name for name in sys.modules if name.startswith("opentelemetry")]
    await infer()
    from opentelemetry import metrics, trace
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    spans, reader = InMemorySpanExporter(), InMemoryMetricReader()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    trace.set_tracer_provider(provider)
    for _ in range(3):
        await infer()
    metrics.set_meter_provider(MeterProvider([reader]))
    tracer = trace.get_tracer("program")
    with tracer.start_as_current_span("allowed"):
        errors.append(await create())
    await done(client.guard.keep_alive(force=True))
    strict = client.guard.config.model_copy(update={"min_model_lifetime": timedelta(days=3650)})
    with tracer.start_as_current_span("stopped"):
        errors.append(await create(client.with_options(guard=strict)))
    measured = {}
    for resource in reader.get_metrics_data().resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                points = [[point.value, dict(point.attributes)] for point in metric.data.data_points]
                measured[metric.name] = [metric.unit, *points]
    events = [[e.name, dict(e.attributes)] for span in spans.get_finished_spans() for e in span.events
              if e.name.startswith("finetune_guard")]
    await done(client.close())
    print(json.dumps([errors, measured, events]))

asyncio.run(main())
"""


@pytest.mark.parametrize("flavour", ["sync", "async"])
def test_metrics_and_span_events_with_opentelemetry_only(run_program, sim, model, flavour):
    code, out, err = run_program(PROGRAM.replace("MODEL", BASE), flavour, model)
    assert 0 == code, err
    errors, measured, events = json.loads(out)
    slug = sim.organization().slug
    organization = {"finetune_guard.organization": slug}
    assert "ShortLivedModelError" == errors[-1]
    stopped_job = {"finetune_guard.call": "job", "gen_ai.request.model": BASE, "error.type": errors[-1]}
    assert {
        "finetune_guard.inferences": ["{call}", [3, {**organization, "gen_ai.request.model": model}]],
        "finetune_guard.keep_alives": ["{call}", [1, {**organization, "finetune_guard.outcome": "sent"}]],
        "finetune_guard.jobs.stopped": ["{call}", [1, {**organization, **stopped_job}]],
        "finetune_guard.model.remaining": ["d", [166, {"gen_ai.request.model": model}]],
        "finetune_guard.window.remaining": ["s", [60 * 86400, organization]],
    } == measured
    allowed, stopped = events
    common = {
        **organization,
        "finetune_guard.call": "job",
        "finetune_guard.verdict": "eligible",
        "finetune_guard.reason": "recent_inference",
        "finetune_guard.window.remaining": 60 * 86400,
    }
    assert ["finetune_guard.decision", {**common, "finetune_guard.stopped": False}] == allowed
    assert ["finetune_guard.decision", {**common, "finetune_guard.stopped": True}] == stopped


@pytest.mark.anyio
async def test_window_metric_covers_openais_organizations_only(
    connect, connect_azure, infer, sim, monkeypatch
):
    monkeypatch.setattr(telemetry, "_guards", weakref.WeakSet())  # those of other tests may still be there
    await infer(connect())
    await infer(connect(config={"policy": FAILING_POLICY, "store": MemoryStore()}))
    await chat(connect_azure("v1"))
    measured = [attributes["finetune_guard.organization"] for _, attributes in telemetry._measure_windows()]
    assert [sim.organization().slug] == measured
