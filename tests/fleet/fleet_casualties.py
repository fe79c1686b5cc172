"""A process that gets a signal during a keep-alive, and the processes that take over from it."""

from __future__ import annotations

import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import finetune_guard
from finetune_guard import KeepAlive, KeepAliveError
from finetune_guard.stores.open import open_store
from tests.fleet.fleet_attempts import ON_CALL, result_word
from tests.support.http import HTTP

SHORT = KeepAlive(deadline="2s")
"""What makes a lease short, for its time follows from it."""

LEASED, LOOKED, CHOSEN, SENDING = UNSENT = ("leased", "looked", "chosen", "sending")
SENT, ANSWERED, WRITING = UNWRITTEN = ("sent", "answered", "writing")
WRITTEN, RETURNING, RETURNED = DONE = ("written", "returning", "returned")
POINTS = UNSENT + UNWRITTEN + DONE
"""What a holder of the lease does, in this order.

It takes it, looks whether an inference is still due, chooses a model by the history, sends, writes down
what it sent, and gives the lease back.
"""


class Accident:
    """A signal that hits this process once, at a point, and is told of before."""

    def __init__(self, when, signal_number, tell):
        self.when = when
        self._what = signal_number
        self._tell = tell

    def reached(self, point):
        if point == self.when:
            self.when = None
            self._tell("hit")
            signal.pthread_kill(threading.get_ident(), self._what)  # not another thread first


def watched(location, reached):
    """The store at ``location``, of its own class, that tells what is done with it."""
    kind = type(open_store(location))

    class Watched(kind):
        is_leased = False

        def lease(self, name, ttl):
            lease = super().lease(name, ttl)
            if lease is not None:
                self.is_leased = True
                reached(LEASED)
            return lease

        def evidence(self, organization):
            evidence = super().evidence(organization)
            if self.is_leased:
                reached(LOOKED)
            return evidence

        def history(self, organization):
            history = super().history(organization)
            reached(CHOSEN)
            return history

        def record(self, organization, activities):
            reached(WRITING)
            super().record(organization, activities)
            reached(WRITTEN)

        def release(self, lease):
            reached(RETURNING)
            super().release(lease)
            reached(RETURNED)

    return Watched(location)


class Transport(HTTP.HTTPTransport):
    """The way to the API, which tells how far an inference has come."""

    def __init__(self, reached):
        super().__init__(verify=False)  # nothing here is checked with certificates
        self._reached = reached

    def handle_request(self, request):
        if not request.url.path.endswith("/chat/completions"):
            return super().handle_request(request)
        self._reached(SENDING)
        request.extensions["trace"] = self._trace
        response = super().handle_request(request)
        self._reached(ANSWERED)
        return response

    def _trace(self, event, _):
        if event.endswith("send_request_body.complete"):
            self._reached(SENT)


def send_with_accident(stage, when, signal_number, pipe):
    """Send a keep-alive while an accident happens; report the outcome if the process survives."""
    accident = Accident(when, signal_number, pipe.send)
    http_client = HTTP.Client(transport=Transport(accident.reached))
    store = watched(stage.location, accident.reached)
    options = {"keep_alive": SHORT, "store": store, "http_client": http_client}
    with stage.connect(finetune_guard.OpenAI, **options) as client:
        outcome = None
        while outcome is None:
            try:
                outcome = result_word(client.guard.keep_alive())
            except KeepAliveError as error:  # on a machine so slow that no time is left, it tries again
                outcome = None if accident.when is not None else repr(error)
    pipe.send(outcome)


def take_over(stages, pipe):
    """Ask for a keep-alive of every organization at once; report each outcome."""
    with (
        stages[0].connect(finetune_guard.OpenAI, keep_alive=ON_CALL) as client,
        ThreadPoolExecutor(len(stages)) as threads,
    ):

        def ask(stage):
            return result_word(client.with_options(api_key=stage.key).guard.keep_alive())

        pipe.send(list(threads.map(ask, stages)))
