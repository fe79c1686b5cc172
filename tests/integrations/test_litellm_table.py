"""Compares the shutdown dates with those of the installed litellm."""

from __future__ import annotations

import sys

import pytest

from finetune_guard.domain.catalog import published_catalog
from finetune_guard.engine.shutdowns import installed_table

FINE_TUNES_THAT_DIFFER = {"babbage-002", "davinci-002", "gpt-3.5-turbo-1106"}
"""OpenAI's page has rows of their own for these; litellm gives them their base's day. All are past."""


def test_our_shutdown_dates_agree_with_litellms():
    before = "litellm" in sys.modules
    theirs = installed_table()
    assert before == ("litellm" in sys.modules)  # its import takes seconds; its table is read as a file
    if not theirs:
        pytest.skip("litellm is not installed")
    rows = published_catalog().base_models
    ours = {row.id: row.shutdown for row in rows}
    ours |= {f"ft:{row.id}": row.fine_tunes_shutdown for row in rows if row.id not in FINE_TUNES_THAT_DIFFER}
    shared = ours.keys() & theirs.keys()
    assert len(shared) > len(rows)
    differing = {name: (ours[name], theirs[name].day) for name in shared}
    assert {} == {name: days for name, days in differing.items() if abs((days[0] - days[1]).days) > 1}
