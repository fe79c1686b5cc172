"""``GET /organization/usage/completions``: the organization's usage in buckets of time.

Buckets are aligned to their width in UTC, except that the first starts at ``start_time``, rounded down to
the minute, and the last ends at ``end_time`` or now, as in OpenAI's cookbook. Requests are counted per
minute.
"""

from __future__ import annotations

import base64
import binascii
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from finetune_guard.simulator.answers import Answer, invalid, missing
from finetune_guard.simulator.faults import SPARE_CURSOR
from finetune_guard.simulator.inference import MINUTE
from finetune_guard.simulator.organizations import Use
from finetune_guard.simulator.provider import Call

_GROUPS = ("project_id", "user_id", "api_key_id", "model", "batch", "service_tier", "api_source")
_CURSOR_PREFIX = "page_"
_MAX_DIGITS = 12


class _Width(NamedTuple):
    """A bucket width in seconds, and the number of buckets on a page."""

    seconds: int
    default: int
    maximum: int


_WIDTHS = {"1m": _Width(MINUTE, 60, 1440), "1h": _Width(3600, 24, 168), "1d": _Width(86_400, 7, 31)}


class _Group(NamedTuple):
    """The group of a result; None for fields that are not grouped by."""

    model: str | None
    project_id: str | None
    batch: bool | None


def completions(call: Call) -> Answer:
    """Return the counts of successful chat completions, responses and completions, including batches."""
    width = _WIDTHS.get(call.query.get("bucket_width", "1d"))
    if width is None:
        raise invalid("bucket_width", f"expected one of {', '.join(_WIDTHS)}")
    start = _number(call, "start_time")
    if start is None:
        raise missing("start_time")
    end = _number(call, "end_time")
    if end is None:
        end = call.timestamp + 1  # includes this second
    elif end <= start:
        raise invalid("end_time", "expected a time after start_time")
    if call.query.get("page") == SPARE_CURSOR:
        return Answer({"object": "page", "data": [], "has_more": False, "next_page": None})
    first = _page_start(call, start - start % MINUTE, end)
    spans = _spans(first, end, width, _limit(call, width))
    after = spans[-1][1] if spans else end
    results = _results(call, first, after, width)
    buckets = [
        {"object": "bucket", "start_time": start_time, "end_time": end_time, "results": results[start_time]}
        for start_time, end_time in spans
    ]
    has_more = after < end
    cursor = _CURSOR_PREFIX + base64.urlsafe_b64encode(str(after).encode()).decode() if has_more else None
    return Answer({"object": "page", "data": buckets, "has_more": has_more, "next_page": cursor})


def _spans(first: int, end: int, width: _Width, maximum: int) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    start_time = first
    while start_time < end and len(spans) < maximum:
        end_time = min(start_time - start_time % width.seconds + width.seconds, end)
        spans.append((start_time, end_time))
        start_time = end_time
    return spans


def _results(call: Call, first: int, after: int, width: _Width) -> dict[int, list[dict[str, Any]]]:
    """Return the results of each bucket, by its start time."""
    includes, group_of = _filter(call), _grouping(call)
    latest = call.now - call.provider.settings.usage_lag
    sums: dict[int, dict[_Group, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for use, tally in call.account.usage.items():  # a minute with a request after ``latest`` is omitted
        if tally.latest <= latest and first <= use.minute < after and includes(use):
            start_time = max(first, use.minute - use.minute % width.seconds)
            sums[start_time][group_of(use)].update(tally.counts)
    results: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for start_time, groups in sums.items():
        results[start_time] = [_result(group, groups[group]) for group in sorted(groups)]
    return results


def _result(group: _Group, counts: Counter[str]) -> dict[str, Any]:
    return {
        "object": "organization.usage.completions.result",
        **counts,
        **group._asdict(),
        **dict.fromkeys(("user_id", "api_key_id", "service_tier")),  # not simulated
        **dict.fromkeys(("input_cached_tokens", "input_audio_tokens", "output_audio_tokens"), 0),
    }


def _filter(call: Call) -> Callable[[Use], bool]:
    """Return a predicate for the request's filters. No key or user id matches: none is simulated."""
    models, projects = (set(_list_values(call, name)) for name in ("models", "project_ids"))
    matches_none = any(any(_list_values(call, name)) for name in ("user_ids", "api_key_ids"))
    batch = call.query.get("batch")
    if batch not in {None, "true", "false"}:
        raise invalid("batch", "expected true or false")
    return lambda use: (
        not matches_none
        and (not models or use.model in models)
        and (not projects or use.project in projects)
        and (batch is None or use.batch == (batch == "true"))
    )


def _grouping(call: Call) -> Callable[[Use], _Group]:
    groups = set(_list_values(call, "group_by"))
    if not groups <= set(_GROUPS):
        raise invalid("group_by", f"expected some of {', '.join(_GROUPS)}")
    return lambda use: _Group(
        use.model if "model" in groups else None,
        use.project if "project_id" in groups else None,
        use.batch if "batch" in groups else None,
    )


def _list_values(call: Call, name: str) -> Iterator[str]:
    """Yield a list parameter's values: ``name[]=a&name[]=b``, ``name=a&name=b`` or ``name=a,b``."""
    for text in (*call.query.getlist(f"{name}[]"), *call.query.getlist(name)):
        yield from filter(None, text.split(","))


def _number(call: Call, name: str) -> int | None:
    text = call.query.get(name)
    if text is None:
        return None
    if not _is_number(text):
        raise invalid(name, "expected an integer, not negative")
    return int(text)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS


def _limit(call: Call, width: _Width) -> int:
    limit = _number(call, "limit")
    if limit is None:
        return width.default
    if not 1 <= limit <= width.maximum:
        raise invalid("limit", f"expected an integer from 1 to {width.maximum}")
    return limit


def _page_start(call: Call, start: int, end: int) -> int:
    """Return the start time of the page with the cursor ``page``, or of the first page if there is none."""
    cursor = call.query.get("page")
    if not cursor:
        return start
    try:
        text = base64.urlsafe_b64decode(cursor.removeprefix(_CURSOR_PREFIX)).decode()
    except (binascii.Error, ValueError):
        text = ""
    if not _is_number(text) or not start < int(text) < end:
        raise invalid("page", "no such page of this query")
    return int(text)
