"""The table of shutdown dates that ships with the package."""

from __future__ import annotations

from datetime import date

import pytest

from finetune_guard.domain.catalog import published_catalog


@pytest.mark.parametrize(
    ("model_id", "day"),
    [
        ("gpt-4o-mini-2024-07-18", date(2027, 1, 14)),
        ("ft:gpt-4o-mini-2024-07-18:acme::AbC123xY", date(2027, 1, 14)),
        ("gpt-3.5-turbo-1106", date(2026, 9, 28)),
        ("ft:gpt-3.5-turbo-1106:acme::AbC123xY", date(2026, 10, 23)),
        ("ft:gpt-4-0613:acme::AbC123xY", date(2026, 10, 23)),
        ("gpt-6-luna", None),
        ("gpt-4o-mini", date(2027, 1, 14)),
        ("gpt-3.5-turbo", date(2026, 10, 23)),
        ("gpt-4", date(2026, 10, 23)),
        ("gpt", None),
        ("gpt-4.1-mini-2025", None),
    ],
)
def test_shutdown_dates(model_id, day):
    """A base and its fine-tunes have dates of their own; a name without its date has the latest of them."""
    assert day == published_catalog().shutdown_of(model_id)


def test_the_row_of_a_base_model():
    """A row is found by a base model's whole name, and has both days and the replacement."""
    row = published_catalog().lifetime_of("gpt-3.5-turbo-1106")
    assert row is not None
    assert (date(2026, 9, 28), date(2026, 10, 23)) == (row.shutdown, row.fine_tunes_shutdown)
    assert "gpt-5.6-terra" == row.replacement
    assert published_catalog().lifetime_of("ft:gpt-3.5-turbo-1106:acme::AbC123xY") is None
