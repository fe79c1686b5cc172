"""The guard's own requests: how they are made, and what becomes of the user's call when they fail."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import openai
import pytest

from finetune_guard import OPENAI_SELF_SERVE, AccessPolicy, KeepAlive, NoInferenceRecordedError
from finetune_guard.simulator import Fault
from tests.client.both_ways import create_job, done
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


async def test_they_take_over_what_the_call_is_sent_with(way, wire, configured, closing):
    """A gateway's headers and query parameters go along; what describes the call's own body doesn't."""
    for path in ("/models", "/fine_tuning/jobs"):
        wire.get(f"{API}{path}").respond(200, json={"object": "list", "data": []})
    client = closing(way.guarded(api_key="sk-test", guard=configured(on_unknown="allow")))
    created = wire.post(f"{API}/fine_tuning/jobs").respond(200, json={"id": "ftjob-1"})
    headers = {"X-Tenant": "blue", "Idempotency-Key": "once", "Content-Language": "en"}
    await done(
        client.fine_tuning.jobs.with_raw_response.create(
            **JOB, extra_headers=headers, extra_query={"region": "eu"}
        )
    )
    *asked, job = [call.request for call in wire.calls]
    assert 1 == len(created.calls)
    assert [("blue", "eu")] * len(asked) == [
        (request.headers["x-tenant"], request.url.params["region"]) for request in asked
    ]
    assert asked
    assert "once" == job.headers["idempotency-key"]
    assert not any(
        name in request.headers
        for request in asked
        for name in ("idempotency-key", "content-language", "x-stainless-raw-response")
    )


async def test_they_share_the_calls_timeout(client, sim):
    """A question that isn't answered ends with the call's timeout; what is then not known is named."""
    sim.fault(Fault(path="/v1/models", method="GET", delay=600, times=None))
    sim.fault(Fault(path="/v1/fine_tuning/jobs", method="GET", delay=600, times=None))
    with pytest.raises(NoInferenceRecordedError, match=r"could not be asked .*: no answer in time") as caught:
        await done(client.fine_tuning.jobs.create(**JOB, timeout=0.5))
    assert isinstance(caught.value.__cause__, openai.APITimeoutError)


async def test_a_keep_alive_shares_it_too(connect, sim, model):
    """One that is sent for a call has as long as that has left, however patient it else would be."""
    client = connect(config={"keep_alive": KeepAlive(deadline=timedelta(minutes=10))})
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
async def test_a_failure_is_named_and_chained_each_time(client, sim, status, path, raised):
    """The real cause is told by every call that it keeps from being decided, whoever its answer names."""
    named = {"openai-organization": sim.organization().slug}
    sim.fault(Fault(path=path, method="*", times=None, status=status, headers=named))
    for _ in range(2):
        with pytest.raises(raised, match=str(status)) as caught:
            await done(client.fine_tuning.jobs.create(**JOB))
        cause = caught.value.__cause__
        assert status == (cause.status_code if raised is NoInferenceRecordedError else status)


async def test_a_key_that_was_just_refused_is_the_apis_matter(client, sim):
    """After a 401 to a call of the program's own, which named the organization, a job meets the same 401."""
    named = {"openai-organization": sim.organization().slug}
    sim.fault(Fault(path="/v1/*", method="*", times=None, status=401, headers=named))
    for call in (client.models.list, partial(client.fine_tuning.jobs.create, **JOB)):
        with pytest.raises(openai.AuthenticationError):
            await done(call())


async def test_our_own_failure_is_not_the_end_of_the_call(connect, sim, caplog):
    """Whatever breaks on our side of a job is logged, and the API decides."""
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
async def test_a_call_that_can_only_fail_fails_as_it_would_bare(connect, connect_bare, sim, options, raised):
    """With a wrong key, or without a connection, the program meets the SDK's own error."""
    ours = connect(config={"hosts": [sim.host, "127.0.0.1"]}, **options)
    expected = await failure_of(create_job, connect_bare(**options))
    assert raised is expected[0]
    assert expected == await failure_of(create_job, ours)
