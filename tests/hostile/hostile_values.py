"""Strategies for hostile texts and JSON."""

from __future__ import annotations

import json

from hypothesis import strategies as st

FORGERIES = [
    *("\n", "\r\nERROR forged", "\x00", "\x1b[31mred", "\x1b]0;title\x07", "\x9b2J", "\u202egnorw", "\u2028"),
    *("\ud800", "\udcff", "\u0085next"),
]
"""What moves a cursor, begins a line, turns the direction of writing, or is half a character."""

TEXTS = st.text(st.characters(codec=None, categories=None), max_size=40) | st.builds(
    "{}{}{}".format, st.text(max_size=5), st.sampled_from(FORGERIES), st.text(max_size=5)
)
MODELS = st.sampled_from(
    [
        *("ft:gpt-4o-mini-2024-07-18:acme:support-bot:AbC123xY", "ft:gpt-4o-mini:acme::1:ckpt-step-7"),
        *("davinci:ft-acme", "ft:", "ft:a\nb:c::d", "ft:gpt\x1b[2J:acme::1", "ft:gpt:\u202eacme::1"),
        *("ft:gpt:acme::" + "x" * 600, "ft:gpt:acme::1:ckpt-step-" + "9" * 400),
    ]
)
NUMBERS = st.sampled_from(
    [0, 1, -1, True, 1.5, 2**31, 2**63, 10**18, 10**400, 1_780_000_000, 253_402_300_800, 1e308]
) | st.integers(-(10**20), 10**20)
MOMENTS = st.sampled_from(
    [
        *("2026-07-01T12:00:00Z", "2026-07-01T12:00:00", "1970-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00"),
        *("9999-12-31T23:59:59Z", "9999-12-31T23:59:59-23:59", "10000-01-01T00:00:00Z"),
        *("2026-06-30T23:59:60Z", "2026-07-01", "now"),
    ]
)
ATOMS = st.none() | st.booleans() | NUMBERS | TEXTS | MODELS | MOMENTS | st.just(float("nan"))
JSON = st.recursive(
    ATOMS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=6
)
"""Any JSON value, and some that only Python takes for one."""


def objects(**fields):
    """Return JSON objects with some of these fields: mostly as they should be, now and then anything."""
    optional = {name: usual | JSON for name, usual in fields.items()}
    return st.fixed_dictionaries({}, optional=optional)


def lists_of(rows):
    """Return the API's lists of such rows, and what only looks like one."""
    return (
        objects(
            object=st.just("list"),
            data=st.lists(rows | JSON, max_size=4),
            has_more=st.booleans(),
            next_page=st.just("page_2"),
        )
        | JSON
    )


def deep(levels=10_000):
    """Return JSON text that nests more deeply than a parser can follow."""
    return "[" * levels + "]" * levels


def text_of(value):
    """Return a JSON value as text, with what isn't ASCII escaped."""
    return json.dumps(value)


BATCHES = objects(
    id=st.sampled_from(["batch_1", "batch_2"]) | TEXTS,
    object=st.just("batch"),
    model=MODELS,
    status=st.just("completed"),
    completed_at=NUMBERS,
    request_counts=objects(completed=NUMBERS, total=NUMBERS, failed=NUMBERS),
)
JOBS = objects(
    id=st.just("ftjob-1") | TEXTS,
    object=st.just("fine_tuning.job"),
    created_at=NUMBERS,
    finished_at=NUMBERS,
    fine_tuned_model=MODELS,
    organization_id=st.just("org-AbC") | TEXTS,
)
LISTED_MODELS = objects(
    id=MODELS,
    object=st.just("model"),
    created=NUMBERS,
    shutdown_date=st.sampled_from(["2027-01-14", "0001-01-01", "9999-12-31", "10000-01-01", "2026-02-30"]),
)
RESULTS = objects(
    object=st.just("organization.usage.completions.result"),
    model=MODELS,
    num_model_requests=NUMBERS,
    project_id=st.just("proj_AbC") | TEXTS,
)


def usage_pages(first_day, number=3):
    """Return pages of daily buckets, in order or not, that begin about ``first_day`` (Unix seconds)."""
    days = st.integers(-1, number).map(lambda day: first_day + day * 86_400)
    bucket = objects(
        object=st.just("bucket"), start_time=days, end_time=days, results=st.lists(RESULTS, max_size=3)
    )
    orderly = st.integers(0, number).flatmap(
        lambda many: st.tuples(
            *(
                st.fixed_dictionaries(
                    {
                        "start_time": st.just(first_day + day * 86_400),
                        "end_time": st.just(first_day + (day + 1) * 86_400),
                        "results": st.lists(RESULTS, max_size=3),
                    }
                )
                for day in range(many)
            )
        ).map(list)
    )
    cursors = st.sampled_from(["page_2", "", "x" * 100_000]) | TEXTS
    return (
        objects(data=st.lists(bucket, max_size=3) | orderly, has_more=st.booleans(), next_page=cursors)
        | st.fixed_dictionaries({"data": orderly, "has_more": st.just(False)})
        | JSON
    )


SUMMARIES = objects(
    organization=st.just("acme"),
    last_inference=objects(
        organization=st.just("acme") | TEXTS,
        model=MODELS | TEXTS,
        at=MOMENTS,
        source=st.sampled_from(["observed", "batch", "stolen"]),
        within=st.sampled_from(["PT0S", "P1D", "P2D", "-P1D", "P999999999D", "PT1E400S"]),
    ),
    fine_tuned_by=MOMENTS,
    no_trace_at=MOMENTS,
    refusal=objects(at=MOMENTS, code=st.just("training_not_available") | TEXTS, message=TEXTS),
    job_created_at=MOMENTS,
    usage_read=st.lists(objects(start=MOMENTS, end=MOMENTS), max_size=3),
)
ROWS = {
    "summary": SUMMARIES,
    "model": objects(
        organization=st.just("acme"),
        model=st.just("ft:gpt-4o:acme::1"),
        at=MOMENTS,
        source=st.just("observed"),
        within=st.sampled_from(["PT0S", "P1D", "P999999999D"]),
    ),
    "day": st.dictionaries(st.sampled_from(["observed", "batch", "stolen"]), NUMBERS, max_size=3),
    "shutdown": objects(day=st.sampled_from(["2027-01-14", "0001-01-01", "9999-12-31"]), seen_at=MOMENTS),
    "text": TEXTS,
    "salt": st.sampled_from(["", "00ff", "zz", "0" * 600]) | TEXTS,
    "lease": objects(token=TEXTS, since=NUMBERS, until=NUMBERS),
    "names": st.lists(TEXTS | st.just("acme"), max_size=4),
}
"""For each kind of row in a store, what somebody may have put there instead."""
