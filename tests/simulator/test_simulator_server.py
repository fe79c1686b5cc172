from __future__ import annotations

import gc
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from datetime import datetime, timedelta, timezone

import openai
import pytest

import finetune_guard.simulator
from finetune_guard.simulator import Fault, ServedCall, Simulator
from tests.support.constants import BASE, MESSAGES
from tests.support.http import HTTP


@pytest.fixture
def http(sim):
    with HTTP.Client(base_url=f"http://{sim.host}") as client:
        yield client


@pytest.fixture
def key():
    return {"Authorization": "Bearer sk-simulated-acme"}


def test_the_public_names():
    """The package offers these names and no others."""
    assert finetune_guard.simulator.__all__ == [
        "Deployment",
        "Fault",
        "Organization",
        "ServedCall",
        "SimulatedAzure",
        "SimulatedClock",
        "Simulator",
        "UsageFlaw",
        "serve",
    ]


@pytest.mark.parametrize("path", ["/v1/models/", "/v1/files"])
def test_every_answer_has_the_headers(clock, sim, http, key, path):
    """Answers name the organization by its slug, and their date is the simulated one."""
    clock.set(datetime(2026, 12, 24, 18, 0, 5, tzinfo=timezone.utc))

    headers = http.get(path, headers=key).headers

    assert headers["openai-organization"] == "acme-28gund"
    assert headers["openai-project"] == sim.organization().project
    assert headers["openai-version"] == "2020-10-01"
    assert headers["openai-processing-ms"].isdigit()
    assert headers["x-request-id"].startswith("req_")
    assert headers.get_list("date") == ["Thu, 24 Dec 2026 18:00:05 GMT"]
    assert "server" not in headers


def test_a_gateway_may_strip_the_headers(clock, connect):
    """A simulator can be told to hide the organization, as some gateways do."""
    with Simulator(clock=clock, strip_headers=True) as stripped:
        headers = connect(stripped).models.with_raw_response.list().headers

        assert not [name for name in headers if name.startswith("openai-")]
        assert headers["x-request-id"]


def test_unknown_paths_are_json(http, key):
    """A path that does not exist is a 404 with the API's error body, a wrong method a 405."""
    nowhere = http.get("/v1/nowhere", headers=key)
    wrong = http.put("/v1/files", headers=key)

    assert nowhere.status_code == 404
    assert nowhere.json()["error"]["message"] == "Invalid URL (GET /v1/nowhere)"
    assert wrong.status_code == 405
    assert wrong.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("content", [b"[]", b"\xff"])
def test_bodies_must_be_json_objects(http, key, content):
    """A body that is no JSON object is a 400."""
    answer = http.post("/v1/chat/completions", headers=key, content=content)

    assert answer.status_code == 400
    assert "parse" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "key", [{}, {"Authorization": "Bearer sk-wrong"}, {"Authorization": "sk-simulated-acme"}]
)
def test_a_key_is_needed(sim, http, key):
    """Without a known key there is a 401 that does not show the key."""
    answer = http.get("/v1/models", headers=key)

    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "invalid_api_key"
    assert "sk-" not in answer.text
    assert "openai-organization" not in answer.headers
    assert sim.calls[-1].organization is None


def test_the_organization_header_must_match(sim, connect):
    """An organization may be named by its id or slug; another one's name is a 401."""
    organization = sim.organization()

    for name in (organization.id, organization.slug):
        assert connect(sim, organization=None).with_options(organization=name).models.list().data
    with pytest.raises(openai.AuthenticationError) as caught:
        connect(sim).with_options(organization="org-other").models.list()
    assert caught.value.code == "mismatched_organization"


def test_the_log_of_calls(sim, client, clock, model):
    """The log tells who called what and when, and holds no word and no key."""
    client.chat.completions.create(model=model, messages=MESSAGES, stream=True).close()
    clock.advance(timedelta(days=1))
    client.models.list()

    first, second = sim.calls
    assert first == ServedCall(
        method="POST",
        path="/v1/chat/completions",
        organization="acme-28gund",
        model=model,
        status=200,
        at=clock() - timedelta(days=1),
        stream=True,
    )
    assert (second.method, second.path, second.model, second.stream) == ("GET", "/v1/models", None, False)
    assert second.at == clock()
    assert "hello" not in repr(sim.calls)

    sim.clear_calls()
    assert sim.calls == ()


def test_prompts_and_keys_are_not_kept(sim, connect, model):
    """Nothing that the simulator holds contains a prompt or an unknown key."""
    prompt, wrong = "a-very-special-prompt", "sk-very-special-key"
    connect(sim).chat.completions.create(model=model, messages=[{"role": "user", "content": prompt}])
    with pytest.raises(openai.AuthenticationError):
        connect(sim, api_key=wrong).models.list()

    held = repr(sim._provider) + repr(sim._log) + repr(sim._faults.__dict__)

    assert prompt not in held
    assert wrong not in held


def test_the_control_endpoints(sim, http, clock, client, model):
    """Other processes can turn the clock, ask for faults and look on, without a key and seeing none."""
    assert http.get("/_simulator/health").json() == {"status": "ok", "now": clock().isoformat()}
    assert http.post("/_simulator/clock", json={"now": "2026-09-01T02:00:00+02:00"}).status_code == 200
    assert clock() == datetime(2026, 9, 1, tzinfo=timezone.utc)
    http.post("/_simulator/clock", json={"advance_seconds": 90})
    assert http.get("/_simulator/clock").json() == {"now": "2026-09-01T00:01:30+00:00"}

    fault = {"path": "/v1/chat/completions", "status": 500, "times": None}
    assert http.post("/_simulator/faults", json=fault).status_code == 201
    with pytest.raises(openai.InternalServerError):
        client.chat.completions.create(model=model, messages=MESSAGES)
    assert http.delete("/_simulator/faults").status_code == 204
    client.chat.completions.create(model=model, messages=MESSAGES)

    assert [call["status"] for call in http.get("/_simulator/calls").json()] == [500, 200]
    shown = http.get("/_simulator/organizations")
    assert "sk-" not in shown.text
    assert shown.json() == [
        {
            "slug": "acme-28gund",
            "id": sim.organization().id,
            "projects": [sim.organization().project],
            "has_admin_key": False,
            "models": [model],
            "fine_tuned_before": True,
            "last_inference": "2026-09-01T00:01:30+00:00",
            "may_create_jobs": True,
        }
    ]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("clock", {"now": "2026-09-01T00:00:00"}),
        ("clock", {"now": "2026-09-01T00:00:00Z", "advance_seconds": 1}),
        ("faults", {"path": "nowhere"}),
    ],
)
def test_wrong_control_calls_are_refused(http, clock, path, body):
    """A wrong control call is a 400 that says why, and changes nothing."""
    before = clock()

    answer = http.post(f"/_simulator/{path}", json=body)

    assert answer.status_code == 400
    assert answer.json()["error"]
    assert before == clock()


def lasting_port():
    """A free port below those that systems give to whoever asks for any, so that it stays free."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def test_stopping_is_clean(clock):
    """After ``stop`` nobody listens, and no thread is left; stopping again does nothing."""
    simulator = Simulator(clock=clock).start()
    port = simulator.port
    simulator.stop()
    simulator.stop()

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    assert "finetune-guard-simulator" not in {thread.name for thread in threading.enumerate()}


def test_it_can_be_started_again(clock, connect):
    """A server that was down comes back on the same port with all that it knew."""
    simulator = Simulator(clock=clock, models=[BASE], port=lasting_port())
    with simulator:
        address = simulator.base_url
        client = connect(simulator)
        own = client.models.list().data[-1].id
        with pytest.raises(RuntimeError, match="already"):
            simulator.start()
    with pytest.raises(openai.APIConnectionError):
        client.models.list()
    with simulator:
        assert address == simulator.base_url
        assert own == client.chat.completions.create(model=own, messages=MESSAGES).model


def test_stopping_cuts_what_is_under_way(sim, connect, model):
    """A call that waits when the server stops fails at once, and stopping does not wait for it."""
    client = connect(sim)
    failures = []

    def call():
        try:
            client.chat.completions.create(model=model, messages=MESSAGES)
        except openai.APIConnectionError as error:
            failures.append(error)

    sim.fault(Fault(path="/v1/chat/completions", delay=600))
    thread = threading.Thread(target=call)
    thread.start()
    while sim._faults._waiting:
        time.sleep(0.01)
    sim.stop()
    thread.join(30)

    assert not thread.is_alive()
    assert len(failures) == 1


def test_stopping_closes_a_connection_that_is_just_coming(sim):
    """A client that connects in the moment of the stop is cut like the others, and nothing stays open."""
    loop, stopping = sim._serving._begun.result()
    busy = threading.Event()
    loop.call_soon_threadsafe(busy.wait)
    with socket.create_connection(("127.0.0.1", sim.port), timeout=10) as connection:
        loop.call_soon_threadsafe(stopping.set)
        busy.set()
        sim.stop()
        with suppress(ConnectionResetError):
            assert b"" == connection.recv(1)
    gc.collect()  # a socket of the server's that was left open fails the test here


def test_a_taken_port_is_an_error(sim):
    """A port that somebody else has is an OSError at ``start``."""
    with pytest.raises(OSError, match="in use"):
        Simulator(port=sim.port).start()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize("interruption", [signal.SIGINT, signal.SIGTERM])
def test_in_the_foreground(interruption):
    """``serve`` answers until it is interrupted, prints nothing itself and ends well."""
    program = (
        "import sys\n"
        "from datetime import datetime, timezone\n"
        "from finetune_guard.simulator import serve\n"
        "now = datetime(2026, 8, 1, tzinfo=timezone.utc)\n"
        "serve(now=now, speed=0, on_ready=lambda url: print(url, flush=True))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        url = process.stdout.readline().strip()
        health = HTTP.get(url.replace("/v1", "/_simulator/health")).json()
        process.send_signal(interruption)
        rest, errors = process.communicate(timeout=30)

    assert health == {"status": "ok", "now": "2026-08-01T00:00:00+00:00"}
    assert (process.returncode, rest, errors) == (0, "", "")


@pytest.mark.slow
@pytest.mark.parametrize("missing", ["uvicorn", "python_multipart"])
def test_the_extra_is_asked_for(missing):
    """Without the optional packages the import says what to install."""
    program = (
        "import importlib.util as util\n"
        "real = util.find_spec\n"
        f"util.find_spec = lambda name: None if name in ({missing!r}, 'multipart') else real(name)\n"
        "import finetune_guard.simulator\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "ImportError" in done.stderr
    assert "pip install 'finetune-guard[simulator]'" in done.stderr
