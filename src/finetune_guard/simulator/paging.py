"""Lists in pages, with ``limit`` and ``after``, as all of the API's lists have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from finetune_guard.simulator.answers import Answer, invalid


def page(items: Sequence[Mapping[str, Any]], query: Mapping[str, str], *, default: int, most: int) -> Answer:
    """Return the page of ``items`` that ``query`` asks for.

    Raises:
        ApiError: 400; ``limit`` is no number from 1 to ``most``, or ``after`` names no item.
    """
    text = query.get("limit", str(default))
    if not text.isdigit() or not 1 <= int(text) <= most:
        raise invalid("limit", f"expected an integer from 1 to {most}")
    start = 0
    if after := query.get("after"):
        ids = [item["id"] for item in items]
        if after not in ids:
            raise invalid("after", "no such object")
        start = ids.index(after) + 1
    shown = items[start : start + int(text)]
    return Answer(
        {
            "object": "list",
            "data": shown,
            "first_id": shown[0]["id"] if shown else None,
            "last_id": shown[-1]["id"] if shown else None,
            "has_more": start + int(text) < len(items),
        }
    )
