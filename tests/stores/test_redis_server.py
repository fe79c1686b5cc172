"""How a server is reached, and what is said when it can't be, or says no."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import threading
import time
import traceback
from contextlib import closing, contextmanager, suppress

import pytest

from finetune_guard.domain.errors import StoreError
from finetune_guard.domain.facts import Source
from finetune_guard.stores.redis.store import RedisStore
from tests.support.constants import HOUR, NOW
from tests.support.redis_server import RedisServer, free_port


@pytest.fixture(scope="module")
def guarded_server():
    """A server with a password, and a user who may do what the documentation says suffices."""
    with RedisServer("--requirepass", "s3cret/@") as server:
        with server.client(password="s3cret/@") as admin:
            allowed = "+getrange +set +pttl +del +watch +unwatch +multi +exec +select"
            rules = f"on >pass:word ~{{finetune-guard}}:* {allowed}".split()
            admin.execute_command("ACL", "SETUSER", "guard", *rules)
        yield server


@pytest.fixture
def own_server():
    """A server that the test may stop."""
    with RedisServer() as server:
        yield server


def open_redis(url):
    return closing(RedisStore(url))


def use_everything(store, activity):
    store.record("key:1", [activity()])
    store.link("key:1", "acme")
    assert store.salt(create=True) == store.salt(create=False)
    assert {"key:1": "acme"} == store.aliases()
    assert ("acme",) == store.organizations()
    assert {} == store.announced()
    assert {Source.OBSERVED: 1} == store.history("acme").daily[NOW.date()]
    lease = store.lease("keep-alive", HOUR)
    assert store.lease("keep-alive", HOUR) is None
    store.release(lease)


@contextmanager
def answering(answer):
    """A server that gives the same answer to every request, or closes the connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    while answer and (asked := connection.recv(9999)):
                        greets = b"SETINFO" in asked or (b"AUTH" in asked and b"AUTH" not in answer)
                        connection.sendall(b"+OK\r\n" if greets else answer * asked.count(b"*"))

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def calls(store, activity):
    """Every call of a store that reads or writes."""
    return [
        lambda: store.evidence("acme"),
        lambda: store.history("acme"),
        store.organizations,
        lambda: store.record("acme", [activity()]),
        lambda: store.organization_of("key:1"),
        lambda: store.link("key:1", "acme"),
        lambda: store.salt(create=True),
        lambda: store.lease("keep-alive", HOUR),
    ]


def assert_refused(call, match):
    with pytest.raises(StoreError, match=match) as caught:
        call()
    assert caught.value.__cause__ is not None
    assert caught.value.remedy in str(caught.value)
    shown = "".join(traceback.format_exception(caught.value))
    assert not any(secret in shown for secret in ("s3cret", "pass:word"))
    return caught.value


@pytest.mark.parametrize(("login", "db"), [(":s3cret%2F%40@", 3), ("guard:pass%3Aword@", 4)])
def test_login_with_any_password_and_minimal_rights_works(guarded_server, activity, login, db):
    with open_redis(f"redis://{login}127.0.0.1:{guarded_server.port}/{db}") as store:
        use_everything(store, activity)


@pytest.mark.parametrize(
    ("login", "says"),
    [
        ("", "Check the user name and the password"),
        (":s3cret-wrong@", "Check the user name and the password"),
        ("s3cret-as-user@", "Check the user name and the password"),
        ("guard:pass%3Aword@", "GETRANGE"),
    ],
)
def test_wrong_login_is_an_error_without_the_password(guarded_server, activity, login, says):
    with open_redis(f"redis://{login}127.0.0.1:{guarded_server.port}?prefix=others") as store:
        for call in calls(store, activity):
            assert_refused(call, says)


def test_unneeded_password_is_an_error(redis_server):
    with open_redis(f"redis://:s3cret@127.0.0.1:{redis_server.port}") as store:
        assert_refused(lambda: store.evidence("acme"), "Leave the password out")


def test_unix_socket_reaches_the_same_server(redis_server, activity):
    with (
        open_redis(f"unix://{redis_server.socket}?prefix=by-socket&db=5") as store,
        open_redis(f"redis://127.0.0.1:{redis_server.port}/5?prefix=by-socket") as other,
    ):
        use_everything(store, activity)
        assert store.history("acme") == other.history("acme")


@pytest.fixture
def tls_server(tmp_path):
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not on PATH")
    certificate, private = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", str(private), "-out", str(certificate), "-days", "2", "-subj", "/CN=elsewhere"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    files = ("--tls-cert-file", str(certificate), "--tls-key-file", str(private))
    with RedisServer(*files, "--tls-auth-clients", "no", tls=True) as server:
        yield server, certificate


def test_tls_certificate_and_host_name_are_checked(tls_server, activity):
    server, certificate = tls_server
    url = f"127.0.0.1:{server.port}/0?ssl_ca_certs={certificate}"
    with open_redis(f"rediss://{url}") as store:
        use_everything(store, activity)
    with open_redis(f"valkeys://127.0.0.1:{server.port}?ssl_cert_reqs=none") as store:
        assert ("acme",) == store.organizations()
    with open_redis(f"rediss://127.0.0.1:{server.port}") as store:
        assert_refused(lambda: store.evidence("acme"), "certificate")
    with open_redis(f"rediss://localhost:{server.port}?ssl_ca_certs={certificate}") as store:
        assert_refused(lambda: store.evidence("acme"), "certificate")
    with open_redis(f"rediss://{url}-missing") as store:
        assert_refused(lambda: store.evidence("acme"), "Could not read")
    with open_redis(f"redis://127.0.0.1:{server.port}") as store:
        assert_refused(lambda: store.evidence("acme"), "Look whether the server|TLS")


def test_databases_and_prefixes_are_isolated(redis_server, activity):
    base = f"redis://127.0.0.1:{redis_server.port}"
    urls = [f"{base}/6?prefix=one", f"{base}/6?prefix=one-more", f"{base}/7?prefix=one"]
    stores = [RedisStore(url) for url in urls]
    for store in stores:
        assert () == store.organizations()
        use_everything(store, activity)
    assert 3 == len({store.salt(create=False) for store in stores})
    with redis_server.client(db=6) as client:
        assert {b"{one}", b"{one-more}"} == {name.partition(b":")[0] for name in client.scan_iter()}
    for store in stores:
        store.close()


def test_unreachable_server_fails_each_call_and_not_opening(own_server, activity):
    own_server.stop()
    with open_redis(own_server.url) as store:
        for call in calls(store, activity):
            assert_refused(call, "Look whether the server runs")
        own_server.start()
        for read in (store.evidence, store.history, store.organization_of):
            read("acme")
        assert ((), {}, {}) == (store.organizations(), store.aliases(), store.announced())
        assert store.salt(create=False) is None
        with own_server.client() as client:
            assert 0 == client.dbsize()
        use_everything(store, activity)


def test_hanging_server_costs_the_urls_timeout(own_server, activity):
    with open_redis(own_server.url) as patient, open_redis(f"{own_server.url}?timeout=0.2") as store:
        patient.record("acme", [activity()])
        own_server.process.send_signal(signal.SIGSTOP)
        try:
            for call in calls(store, activity):
                assert_refused(call, "Look whether the server")
        finally:
            own_server.process.send_signal(signal.SIGCONT)
        found = None
        while found is None:
            with suppress(StoreError):  # a busy machine may need longer than that, too
                found = store.evidence("acme").last_inference
        assert found == patient.evidence("acme").last_inference


def test_cut_connection_is_reopened(server, redis_store, activity):
    redis_store.record("acme", [activity()])
    server.client_kill_filter(_type="normal", skipme=True)
    assert redis_store.evidence("acme").last_inference is not None
    redis_store.record("acme", [activity()])


def test_full_server_refuses_the_whole_write_and_can_be_read(own_server, activity):
    with open_redis(own_server.url) as store, own_server.client() as client:
        store.record("acme", [activity()])
        client.config_set("maxmemory", 1)
        error = assert_refused(lambda: store.record("acme", [activity(), activity("ft:x")]), "more memory")
        assert "ft:x" not in "".join(traceback.format_exception(error.__cause__))
        assert_refused(lambda: store.salt(create=True), "more memory")
        assert_refused(lambda: store.lease("keep-alive", HOUR), "more memory")
        client.config_set("maxmemory", 0)
        assert {Source.OBSERVED: 1} == store.history("acme").daily[NOW.date()]
        assert store.salt(create=False) is None


def test_replica_can_be_read_and_not_written(own_server, activity):
    with open_redis(own_server.url) as store, own_server.client() as client:
        store.record("acme", [activity()])
        client.execute_command("REPLICAOF", "127.0.0.1", free_port())
        assert store.evidence("acme").last_inference is not None
        assert_refused(lambda: store.record("acme", [activity()]), "primary")
        assert_refused(lambda: store.lease("keep-alive", HOUR), "primary")
        client.config_set("replica-serve-stale-data", "no")
        assert_refused(lambda: store.evidence("acme"), "when the server is ready")


def test_cluster_keeps_all_keys_in_one_slot(activity):
    """A node without the slot names the node that has it."""
    with (
        # A node of a cluster listens 10,000 ports higher as well.
        RedisServer("--cluster-enabled", "yes", port=free_port(highest=55_535)) as server,
        server.client() as client,
        open_redis(server.url) as store,
    ):
        assert_refused(lambda: store.evidence("acme"), "ready")
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        while b"cluster_state:ok" not in client.execute_command("CLUSTER", "INFO"):
            time.sleep(0.05)
        use_everything(store, activity)


@pytest.mark.parametrize(
    ("answer", "remedy"),
    [
        (b"-ERR unknown command 'AUTH', with args beginning with: 's3cret'\r\n", "Could not"),
        (b"-LOADING Redis is loading the dataset in memory\r\n", "when the server is ready"),
        (b"-MOVED 1234 10.0.0.1:6379\r\n", "the cluster's node"),
        (b"-MISCONF Redis is configured to save RDB snapshots\r\n", "server's log"),
        (b"-SOMETHING new\r\n", "chained to"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "TLS"),
        (b"$99999999999999999999\r\n", "Could not"),
        (b"*-5\r\n\0\xff\r\n", "Could not"),
        (b"", "Look whether the server"),
    ],
)
def test_any_wrong_server_is_a_store_error_with_a_remedy(activity, answer, remedy):
    timeout = 0.2 if answer.startswith(b"*") else 60  # one call waits for more of that answer
    with (
        answering(answer) as port,
        open_redis(f"redis://:s3cret@127.0.0.1:{port}?timeout={timeout}") as store,
    ):
        for call in calls(store, activity):
            assert_refused(call, remedy)
