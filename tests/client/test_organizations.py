"""Whose inferences count for whom: organizations and keys are never mixed up."""

from __future__ import annotations

import inspect

import openai
import pytest

from finetune_guard import NoInferenceRecordedError
from tests.client.flavours import done
from tests.support.constants import BASE

pytestmark = pytest.mark.anyio


async def may_create(client, **options):
    """Whether a job gets as far as the API."""
    try:
        await done(client.fine_tuning.jobs.create(model=BASE, training_file="file-x", **options))
    except NoInferenceRecordedError:
        return False
    except openai.BadRequestError:
        return True
    raise AssertionError


@pytest.fixture
def other(sim):
    """A second organization, with a model that it never used."""
    return sim.add_organization(slug="other-1", api_key="sk-other", models=["gpt-4o-2024-08-06"])


async def test_key_of_the_request_decides(client, infer, other):
    await infer(client)
    assert not await may_create(client.with_options(api_key=other.api_key))
    assert not await may_create(client, extra_headers={"Authorization": f"Bearer {other.api_key}"})
    assert await may_create(client)


async def test_callable_keys_have_separate_histories_before_first_use(flavour, connect, other, sim, model):
    if "Callable" not in str(inspect.signature(flavour.bare).parameters["api_key"].annotation):
        pytest.skip("this release of openai takes no callable key")
    client = connect(api_key=flavour.returning(sim.organization().api_key))
    stranger = connect(api_key=flavour.returning(other.api_key))
    await done(client.guard.record(model))
    assert "no_inference_recorded" == (await done(stranger.guard.check())).reason.value
    for each_client in (client, stranger):
        await done(each_client.models.list())
    assert "recent_inference" == (await done(client.guard.check())).reason.value
    assert "no_inference_recorded" == (await done(stranger.guard.check())).reason.value


async def test_a_job_is_judged_by_the_key_that_a_function_returns_for_it(flavour, connect, infer, other, sim):
    """A function that returns each tenant's key has each job decided for its own tenant, not the last one."""
    if "Callable" not in str(inspect.signature(flavour.bare).parameters["api_key"].annotation):
        pytest.skip("this release of openai takes no callable key")
    tenant = [sim.organization()]

    def key_of_tenant():
        return flavour.returning(tenant[0].api_key)()

    client = connect(api_key=key_of_tenant)
    await infer(client)
    tenant[0] = other
    await done(client.models.list())
    tenant[0] = sim.organization()
    assert await may_create(client)
    tenant[0] = other
    assert not await may_create(client)
    assert "no_inference_recorded" == (await done(client.guard.check())).reason.value


async def test_extra_headers_change_the_organization(client, infer, sim):
    await infer(client)
    sim.clear_calls()
    with pytest.raises(openai.AuthenticationError):
        await done(
            client.fine_tuning.jobs.create(
                model=BASE, training_file="file-x", extra_headers={"OpenAI-Organization": "org-else"}
            )
        )
    assert ["GET", "GET", "POST"] == [call.method for call in sim.calls]
    assert await may_create(client, extra_headers={"openai-organization": sim.organization().id})


async def test_omitted_organization_header_is_left_out(connect, infer, sim):
    if not hasattr(openai, "Omit"):
        pytest.skip("this release of openai has no Omit")
    left_out = {"OpenAI-Organization": openai.Omit()}
    client = connect(organization=sim.organization().id)
    await infer(client, extra_headers=left_out)
    assert await may_create(client, extra_headers=left_out)


async def test_no_key_is_stored(client, infer, sim, store, tmp_path, connect):
    folder = tmp_path / "history"
    on_disk = connect(config={"store": folder})
    for each_client in (client, on_disk):
        await infer(each_client)
        await done(each_client.guard.flush())
    key = sim.organization().api_key.encode()
    assert key not in repr(vars(store)).encode()
    written = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    assert written
    assert not any(key in content for content in written)
