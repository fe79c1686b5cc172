"""The guard's own requests: how they are made, and what becomes of the user's call when they fail."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import openai
import pytest

from finetune_guard import OPENAI_SELF_SERVE, AccessPolicy, KeepAlive, NoInferenceRecordedError
from finetune_guard.simulator import Fault
from tests.client.flavours import create_job, done
from tests.client.test_errors_unchanged import failure_of
from tests.support.constants import BASE

pytestmark = pytest.mark.anyio

JOB = {"model": BASE, "training_file": "file-x"}
API = "https://api.openai.com/v1"


class FailingPolicy(AccessPolicy):
    """A policy of a program's own by which nothing can be decided."""

    def phases_at(self, now):
        raise RuntimeError("no")


FAILING_POLICY = FailingPolicy(**dict(OPENAI_SELF_SERVE))


async def test_own_requests_use_the_calls_headers_and_query(flavour, wire, configured, closing):
    """What describes the call's own body is left out."""
    for path in ("/models", "/fine_tuning/jobs"):
        wire.get(f"{API}{path}").respond(200, json={"object": "list", "data": []})
    client = closing(flavour.guarded(api_key="sk-test", guard=configured(on_unknown="allow")))
    created = wire.post(f"{API}/fine_tuning/jobs").respond(200, json={"id": "ftjob-1"})
    headers = {"X-Tenant": "blue", "Idempotency-Key": "once", "Content-Language": "en"}
    await done(
        client.fine_tuning.jobs.with_raw_response.create(
            **JOB, extra_headers=headers, extra_query={"region": "eu"}
        )
    )
    *own_requests, job = [call.request for call in wire.calls]
    assert 1 == len(created.calls)
    assert [("blue", "eu")] * len(own_requests) == [
        (request.headers["x-tenant"], request.url.params["region"]) for request in own_requests
    ]
    assert own_requests
    assert "once" == job.headers["idempotency-key"]
    assert not any(
        name in request.headers
        for request in own_requests
        for name in ("idempotency-key", "content-language", "x-stainless-raw-response")
    )


async def test_own_requests_share_the_calls_timeout(client, sim):
    sim.fault(Fault(path="/v1/models", method="GET", delay=600, times=None))
    sim.fault(Fault(path="/v1/fine_tuning/jobs", method="GET", delay=600, times=None))
    with pytest.raises(NoInferenceRecordedError, match=r"could not be asked .*: no answer in time") as caught:
        await done(client.fine_tuning.jobs.create(**JOB, timeout=0.5))
    assert isinstance(caught.value.__cause__, openai.APITimeoutError)


async def test_keep_alive_shares_the_calls_timeout(connect, sim, model):
    client = connect(config={"keep_alive": KeepAlive(deadline=timedelta(minutes=10))})
    await done(client.guard.check())  # has asked what else there is to ask
    sim.fault(Fault(path="/v1/chat/completions", delay=600, times=None))
    with pytest.raises(NoInferenceRecordedError, match=r"Tried ft:.*: no answer in time"):
        await done(client.fine_tuning.jobs.create(**JOB, timeout=0.5))


@pytest.mark.parametrize(
    ("status", "path", "raised"),
    [
        (401, "/v1/*", openai.AuthenticationError),
        (401, "/v1/models", NoInferenceRecordedError),
        (403, "/v1/*", NoInferenceRecordedError),
        (503, "/v1/*", NoInferenceRecordedError),
        (503, "/v1/models", NoInferenceRecordedError),
    ],
)
async def test_failed_own_request_is_named_and_chained_each_time(client, sim, status, path, raised):
    named = {"openai-organization": sim.organization().slug}
    sim.fault(Fault(path=path, method="*", times=None, status=status, headers=named))
    for _ in range(2):
        with pytest.raises(raised, match=str(status)) as caught:
            await done(client.fine_tuning.jobs.create(**JOB))
        cause = caught.value.__cause__
        assert status == (cause.status_code if raised is NoInferenceRecordedError else status)


async def test_job_of_a_refused_key_meets_the_apis_401(client, sim):
    named = {"openai-organization": sim.organization().slug}
    sim.fault(Fault(path="/v1/*", method="*", times=None, status=401, headers=named))
    for call in (client.models.list, partial(client.fine_tuning.jobs.create, **JOB)):
        with pytest.raises(openai.AuthenticationError):
            await done(call())


async def test_bug_in_the_guard_leaves_the_job_to_the_api(connect, sim, caplog):
    client = connect(config={"policy": FAILING_POLICY})
    with pytest.raises(openai.PermissionDeniedError) as caught:
        await done(client.fine_tuning.jobs.create(**JOB))
    assert openai.PermissionDeniedError is type(caught.value)
    assert [("POST", 403)] == [(call.method, call.status) for call in sim.calls]
    assert ["finetune-guard failed; calls go on without it"] == [r.message[:45] for r in caplog.records]


@pytest.mark.parametrize(
    ("options", "raised"),
    [
        ({"api_key": "sk-wrong"}, openai.AuthenticationError),
        ({"organization": "org-wrong"}, openai.AuthenticationError),
        ({"api_key": "sk-line\nbreak"}, openai.APIConnectionError),
        ({"base_url": "http://127.0.0.1:9/v1"}, openai.APIConnectionError),
    ],
    ids=["key", "organization", "line break", "nobody there"],
)
async def test_wrong_key_or_no_connection_raises_the_sdks_error(connect, connect_bare, sim, options, raised):
    ours = connect(config={"hosts": [sim.host, "127.0.0.1"]}, **options)
    expected = await failure_of(create_job, connect_bare(**options))
    assert raised is expected[0]
    assert expected == await failure_of(create_job, ours)
