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
from datetime import datetime, timezone

import openai
import pytest

import finetune_guard.simulator
from finetune_guard.simulator import Fault, ServedCall, Simulator
from tests.support.constants import BASE, DAY, MESSAGES
from tests.support.http import HTTP


@pytest.fixture
def http(sim):
    key = {"Authorization": "Bearer sk-simulated-acme"}
    with HTTP.Client(base_url=f"http://{sim.host}", headers=key) as client:
        yield client


def test_public_names():
    classes = ["Deployment", "Fault", "Organization", "ServedCall", "SimulatedAzure", "SimulatedClock"]
    assert [*classes, "Simulator", "UsageFlaw", "serve"] == finetune_guard.simulator.__all__


def test_every_answer_names_organization_and_simulated_date(clock, sim, http):
    clock.set(datetime(2026, 12, 24, 18, 0, 5, tzinfo=timezone.utc))
    headers = http.get("/v1/models/").headers
    assert ["Thu, 24 Dec 2026 18:00:05 GMT"] == headers.get_list("date")
    assert headers["openai-processing-ms"].isdigit()
    assert headers["x-request-id"].startswith("req_")
    assert "server" not in headers
    names = ("openai-organization", "openai-project", "openai-version")
    assert ["acme-28gund", sim.organization().project, "2020-10-01"] == [headers[name] for name in names]


def test_organization_header_can_be_left_out(clock, connect):
    with Simulator(clock=clock, strip_headers=True) as stripped:
        headers = connect(stripped).models.with_raw_response.list().headers
        assert [] == [name for name in headers if name.startswith("openai-")]
        assert headers["x-request-id"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "expected"),
    [
        ("GET", "nowhere", b"", 404, "Invalid URL (GET /v1/nowhere)"),
        ("PUT", "files", b"", 405, "Not allowed to use this method (PUT /v1/files)"),
        ("POST", "chat/completions", b"[]", 400, "We could not parse the JSON body of your request."),
        ("POST", "chat/completions", b"\xff", 400, "We could not parse the JSON body of your request."),
    ],
)
def test_wrong_requests_get_the_apis_error_body(http, method, path, body, status, expected):
    answer = http.request(method, f"/v1/{path}", content=body)
    error = answer.json()["error"]
    assert (status, expected, "invalid_request_error") == (
        answer.status_code,
        error["message"],
        error["type"],
    )


@pytest.mark.parametrize("key", ["", "Bearer sk-wrong", "sk-simulated-acme"])
def test_unknown_key_is_a_401_that_does_not_show_it(sim, http, key):
    answer = http.get("/v1/models", headers={"Authorization": key})
    assert (401, "invalid_api_key") == (answer.status_code, answer.json()["error"]["code"])
    assert "sk-" not in answer.text
    assert "openai-organization" not in answer.headers
    assert sim.calls[-1].organization is None


def test_organization_header_must_match_the_key(sim, client):
    for name in (sim.organization().id, sim.organization().slug):
        assert client.with_options(organization=name).models.list().data
    with pytest.raises(openai.AuthenticationError) as caught:
        client.with_options(organization="org-other").models.list()
    assert "mismatched_organization" == caught.value.code


def test_calls_are_logged_with_organization_path_and_time(sim, client, clock, model):
    client.chat.completions.create(model=model, messages=MESSAGES, stream=True).close()
    clock.advance(DAY)
    client.models.list()
    whose = {"organization": "acme-28gund", "status": 200}
    path = "/v1/chat/completions"
    assert (
        ServedCall(method="POST", path=path, model=model, at=clock() - DAY, stream=True, **whose),
        ServedCall(method="GET", path="/v1/models", model=None, at=clock(), stream=False, **whose),
    ) == sim.calls
    sim.clear_calls()
    assert () == sim.calls


def test_control_endpoints_set_clock_and_faults_and_list_calls(sim, http, clock, client, model):
    assert {"status": "ok", "now": clock().isoformat()} == http.get("/_simulator/health").json()
    assert 200 == http.post("/_simulator/clock", json={"now": "2026-09-01T02:00:00+02:00"}).status_code
    assert datetime(2026, 9, 1, tzinfo=timezone.utc) == clock()
    http.post("/_simulator/clock", json={"advance_seconds": 90})
    assert {"now": "2026-09-01T00:01:30+00:00"} == http.get("/_simulator/clock").json()

    fault = {"path": "/v1/chat/completions", "status": 500, "times": None}
    assert 201 == http.post("/_simulator/faults", json=fault).status_code
    with pytest.raises(openai.InternalServerError):
        client.chat.completions.create(model=model, messages=MESSAGES)
    assert 204 == http.delete("/_simulator/faults").status_code
    client.chat.completions.create(model=model, messages=MESSAGES)

    assert [500, 200] == [call["status"] for call in http.get("/_simulator/calls").json()]
    assert [
        {
            "slug": "acme-28gund",
            "id": sim.organization().id,
            "projects": [sim.organization().project],
            "has_admin_key": True,
            "models": [model],
            "fine_tuned_before": True,
            "last_inference": "2026-09-01T00:01:30+00:00",
            "may_create_jobs": True,
        }
    ] == http.get("/_simulator/organizations").json()


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("clock", {"now": "2026-09-01T00:00:00"}, "now: "),
        ("clock", {"now": "2026-09-01T00:00:00Z", "advance_seconds": 1}, "give either now"),
        ("clock", {"advance_seconds": 1e300}, "can't be set that far"),
        ("faults", {"path": "nowhere"}, "path: "),
    ],
)
def test_wrong_control_call_says_why_and_changes_nothing(http, clock, path, body, expected):
    before = clock()
    answer = http.post(f"/_simulator/{path}", json=body)
    assert (400, before) == (answer.status_code, clock())
    assert expected in answer.json()["error"]


def lasting_port():
    """A free port below the ephemeral range, so that it stays free."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def test_restart_keeps_port_and_data(clock, connect):
    before = threading.enumerate()
    simulator = Simulator(clock=clock, models=[BASE], port=lasting_port())
    with simulator:
        address = simulator.base_url
        client = connect(simulator)
        own = client.models.list().data[-1].id
        with pytest.raises(RuntimeError, match="already"):
            simulator.start()
        with pytest.raises(OSError, match="in use"):
            Simulator(port=simulator.port).start()
    simulator.stop()
    with pytest.raises(openai.APIConnectionError):
        client.models.list()
    started = set(threading.enumerate()).difference(before)
    assert "finetune-guard-simulator" not in {thread.name for thread in started}
    with simulator:
        assert address == simulator.base_url
        assert own == client.chat.completions.create(model=own, messages=MESSAGES).model


def test_stopping_ends_waiting_calls_at_once(sim, client, model):
    failures = []

    def call():
        with pytest.raises(openai.APIConnectionError) as caught:
            client.chat.completions.create(model=model, messages=MESSAGES)
        failures.append(caught.value)

    sim.fault(Fault(path="/v1/chat/completions", delay=600))
    thread = threading.Thread(target=call)
    thread.start()
    while sim._faults._pending:
        time.sleep(0.01)
    sim.stop()
    thread.join(300)
    assert (False, 1) == (thread.is_alive(), len(failures))


def test_connection_made_during_the_stop_is_closed(sim):
    loop, stopping = sim._serving._started.result()
    busy = threading.Event()
    loop.call_soon_threadsafe(busy.wait)
    with socket.create_connection(("127.0.0.1", sim.port), timeout=300) as connection:
        loop.call_soon_threadsafe(stopping.set)
        busy.set()
        sim.stop()
        with suppress(ConnectionResetError):
            assert b"" == connection.recv(1)
    gc.collect()  # a socket of the server's that was left open fails the test here


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize("interruption", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_serve_answers_until_interrupted(interruption):
    program = (
        "from datetime import datetime, timezone\n"
        "from finetune_guard.simulator import serve\n"
        "now = datetime(2026, 8, 1, tzinfo=timezone.utc)\n"
        "serve(now=now, speed=0, on_ready=lambda url: print(url, flush=True))\n"
    )
    command = [sys.executable, "-W", "error", "-c", program]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:
        url = process.stdout.readline().strip()
        health = HTTP.get(url.replace("/v1", "/_simulator/health")).json()
        process.send_signal(interruption)
        rest, errors = process.communicate(timeout=300)
    assert {"status": "ok", "now": "2026-08-01T00:00:00+00:00"} == health
    assert (0, "", "") == (process.returncode, rest, errors)


@pytest.mark.slow
@pytest.mark.parametrize("missing", ["uvicorn", "python_multipart"])
def test_missing_simulator_extra_is_named(missing):
    program = (
        "import importlib.util as util\n"
        "real = util.find_spec\n"
        f"util.find_spec = lambda name: None if name in ({missing!r}, 'multipart') else real(name)\n"
        "import finetune_guard.simulator\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert 1 == done.returncode
    assert "ImportError" in done.stderr
    assert "pip install 'finetune-guard[simulator]'" in done.stderr
