from __future__ import annotations

import openai
import pytest

from tests.simulator.conftest import ADMIN_KEY
from tests.support.constants import MESSAGES

USAGE = "/organization/usage/completions?start_time=0"


@pytest.mark.parametrize("path", ["/models", "/organization"])
def test_admin_key_reads_only_the_usage(sim, connect, globex, path):
    with pytest.raises(openai.PermissionDeniedError, match="insufficient permissions") as caught:
        connect(sim, api_key=globex.admin_key).get(path, cast_to=object)
    assert (None, "globex-77") == (caught.value.code, caught.value.response.headers["openai-organization"])


def test_project_key_cannot_read_the_usage(client):
    with pytest.raises(openai.PermissionDeniedError, match=r"api\.usage\.read") as caught:
        client.get(USAGE, cast_to=object)
    assert "missing_scope" == caught.value.code


def test_answers_name_the_project_of_the_key(sim, connect, client, model):
    organization = sim.organization()
    project = sim.add_project(organization.slug, "sk-simulated-second")
    second = connect(sim, api_key="sk-simulated-second")
    headers = second.chat.completions.with_raw_response.create(model=model, messages=MESSAGES).headers
    assert (organization.slug, project) == (headers["openai-organization"], headers["openai-project"])
    first = client.models.with_raw_response.list().headers["openai-project"]
    assert organization.project == first != project
    assert sim.clock() == sim.last_inference()


def test_empty_or_taken_key_is_refused(sim, globex):
    for key in ("sk-simulated-acme", globex.api_key, globex.admin_key):
        with pytest.raises(ValueError, match="api_key is taken"):
            sim.add_organization(slug="new", api_key=key)
        with pytest.raises(ValueError, match="admin_key is taken"):
            sim.add_organization(slug="new", api_key="sk-new", admin_key=key)
        with pytest.raises(ValueError, match="api_key is taken"):
            sim.add_project("globex-77", key)
    with pytest.raises(ValueError, match="taken"):
        sim.add_organization(slug="new", api_key="sk-new", admin_key="sk-new")
    with pytest.raises(ValueError, match="admin_key must not be empty"):
        sim.add_organization(slug="new", api_key="sk-new", admin_key="")
    with pytest.raises(ValueError, match="no organization has the slug 'new'"):
        sim.add_project("new", "sk-new")
    assert "new" == sim.add_organization(slug="new", api_key="sk-new").slug


def test_keys_and_prompts_are_never_shown(sim, connect, client, globex, model):
    project = sim.add_project("globex-77", "sk-simulated-second")
    prompt = "a-very-special-prompt"
    client.chat.completions.create(model=model, messages=[{"role": "user", "content": prompt}])
    connect(sim, api_key=ADMIN_KEY).get(USAGE, cast_to=object)
    with pytest.raises(openai.AuthenticationError) as caught:
        connect(sim, api_key="sk-very-special-key").models.list()
    control = connect(sim, base_url=f"http://{sim.host}/_simulator")
    shown = control.get("/organizations", cast_to=object)
    assert [("acme-28gund", 1), ("globex-77", 2)] == [
        (organization["slug"], len(organization["projects"])) for organization in shown
    ]
    assert ([globex.project, project], True) == (shown[1]["projects"], shown[1]["has_admin_key"])
    held = repr(sim._provider) + repr(globex) + repr(sim.calls) + repr(vars(sim._faults)) + str(shown)
    assert "sk-" not in held + str(caught.value)
    assert prompt not in held
