"""A keep-alive that was sent and could not be written down."""

from __future__ import annotations

import pytest

import finetune_guard
from tests.fleet.fleet_stores import IMPATIENT, send_without_a_trace
from tests.fleet.fleet_worker import PATIENCE

pytestmark = pytest.mark.timeout(2 * PATIENCE)


def test_others_do_not_send_at_once(near, begin, keep_alives):
    """As long as its sender may still write it down, nobody sends another."""
    (stage,) = near("acme-1")
    sender = begin(send_without_a_trace, stage)
    assert "sent" == sender.told()
    with stage.connect(finetune_guard.OpenAI, keep_alive=IMPATIENT) as client:
        assert "another_is_sending" == client.guard.keep_alive().reason
    assert {"acme-1": 1} == keep_alives()
