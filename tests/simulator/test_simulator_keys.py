from __future__ import annotations

import openai
import pytest

from tests.support.constants import MESSAGES

ADMIN_KEY = "sk-simulated-admin"
USAGE = "/organization/usage/completions?start_time=0"


@pytest.fixture
def globex(sim):
    return sim.add_organization(slug="globex-77", api_key="sk-simulated-globex", admin_key=ADMIN_KEY)


@pytest.fixture
def admin(sim, connect, globex):
    return connect(sim, api_key=ADMIN_KEY)


@pytest.mark.parametrize("path", ["/models", "/organization"])
def test_an_admin_key_does_nothing_else(admin, path):
    """An admin key is refused everywhere else with a 403 that is not the policy's."""
    with pytest.raises(openai.PermissionDeniedError, match="insufficient permissions") as caught:
        admin.get(path, cast_to=object)

    assert caught.value.code is None
    assert "globex-77" == caught.value.response.headers["openai-organization"]


def test_a_project_key_does_not_read_the_usage(client):
    """A project's key gets a 403 that names the missing scope."""
    with pytest.raises(openai.PermissionDeniedError, match=r"api\.usage\.read") as caught:
        client.get(USAGE, cast_to=object)

    assert "missing_scope" == caught.value.code


def test_each_project_names_itself(sim, connect):
    """A project's calls name it in their answers; its organization and its models are the same."""
    organization = sim.organization()
    model = sim.add_model()
    project = sim.add_project(organization.slug, "sk-simulated-second")
    second = connect(sim, api_key="sk-simulated-second")

    headers = second.chat.completions.with_raw_response.create(model=model, messages=MESSAGES).headers
    first = connect(sim).models.with_raw_response.list().headers

    assert (organization.slug, project) == (headers["openai-organization"], headers["openai-project"])
    assert organization.project == first["openai-project"] != project
    assert sim.clock() == sim.last_inference()


def test_a_key_has_one_use(sim, globex):
    """A key that is empty or taken, for whatever, is refused, and nothing is left of the attempt."""
    taken = ("sk-simulated-acme", "sk-simulated-globex", ADMIN_KEY)
    for key in taken:
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
    with pytest.raises(ValueError, match="api_key must not be empty"):
        sim.add_project("globex-77", "")
    with pytest.raises(ValueError, match="no organization has the slug 'new'"):
        sim.add_project("new", "sk-new")

    assert sim.add_organization(slug="new", api_key="sk-new").slug == "new"


def test_keys_are_shown_nowhere(sim, connect, admin, globex):
    """No key is in a representation, in the log of calls or in what other processes can look at."""
    project = sim.add_project("globex-77", "sk-simulated-second")
    admin.get(USAGE, cast_to=object)
    with pytest.raises(openai.PermissionDeniedError) as caught:
        admin.models.list()
    control = connect(sim, base_url=f"http://{sim.host}/_simulator")
    shown = control.get("/organizations", cast_to=object)

    assert [("acme-28gund", False, 1), ("globex-77", True, 2)] == [
        (each["slug"], each["has_admin_key"], len(each["projects"])) for each in shown
    ]
    assert [globex.project, project] == shown[1]["projects"]
    held = repr(sim._provider) + repr(globex) + repr(sim.calls) + str(shown) + str(caught.value)
    assert "sk-" not in held
