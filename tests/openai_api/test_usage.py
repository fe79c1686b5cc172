"""What the organization's usage tells: the latest inference, the counts, and how far that is certain."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta, timezone

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_guard.domain.errors import UnreadableUsageError, UsageSyncError
from finetune_guard.domain.facts import Source, Span
from finetune_guard.domain.history import Evidence
from finetune_guard.openai_api.usage import read_usage
from finetune_guard.openai_api.usage_pages import DAYS, Precision, UsageQuery
from tests.openai_api.flow_scripts import NOW, error, run
from tests.openai_api.usage_api import LENGTHS, UsageApi, bucket, named, page, row

A, B = "ft:gpt-4o-mini-2024-07-18:acme::Aaa", "ft:gpt-4.1-2025-04-14:acme:bot:Bbb:ckpt-step-16"
DAY, HOUR, MINUTE = LENGTHS["1d"], LENGTHS["1h"], LENGTHS["1m"]
KEY = "sk-admin-very-secret"
TODAY = NOW.replace(hour=0)
START = TODAY - 3 * DAY


def read(answer, start=START):
    """Read with what ``answer`` says to each call: the outcome, what was learnt, and the calls."""
    learnt = []
    flow = read_usage(start, organization="acme-28gund", key=KEY, on_page=learnt.append)
    usage, calls, _ = run(flow, answer)
    return usage, learnt, calls


def spans(page):
    """The stretches of time that a page shows everything of."""
    return [(span.start, span.end) for span in page.history.evidence.usage_read]


def latest(page):
    """When each model was last run, by a page."""
    return {model: inference.at for model, inference in page.history.models.items()}


def counts(page):
    """How many requests each day had, by a page."""
    return {day: sources[Source.USAGE_API] for day, sources in page.history.daily.items()}


def known(usage):
    """The latest inference: model and time."""
    return (usage.latest.model, usage.latest.at) if usage.latest is not None else None


def scripted(*answers):
    """Answers in turn; what isn't a reply or an error is a body."""
    script = iter(answers)

    def answer(call):
        following = next(script)
        return named(following) if isinstance(following, dict | list | str | int | None) else following

    return answer


def days(first=START, until=NOW, **rows):
    """A page with every day from ``first`` on; ``rows`` are those of days, by their number."""
    number = -((first - until) // DAY)
    return page(*(bucket(first + day * DAY, *rows.get(f"day{day}", ())) for day in range(number)))


def after_days(*finer):
    """Answers of which the first tells of A today, and ``finer`` follow."""
    return scripted(days(day3=[row(A)]), *finer)


def round_down(at, length):
    return at - (at - TODAY) % length


# Times are few and near each other, so that one bucket often holds several; models and projects too.
inferences = st.lists(
    st.tuples(
        st.sampled_from([A, B, "ft:gpt-4o-2024-08-06:acme::Ccc", "curie:ft-acme-2021-03-03-21-44-20"]),
        st.sampled_from(["proj_a", "proj_b"]),
        st.builds(
            lambda days, seconds: START + days * DAY + timedelta(seconds=seconds),
            st.integers(0, 80),
            st.integers(0, 86_399) | st.sampled_from([0, 59, 60, 3_599, 3_600, 86_399]),
        ),
    ),
    max_size=12,
)
ends = st.builds(
    lambda number, seconds: START + number * DAY + timedelta(seconds=seconds),
    st.integers(0, 80),
    st.integers(1, 86_400),
)
apis = st.builds(
    UsageApi,
    inferences,
    page_size=st.integers(1, 40),
    keeps_empty=st.booleans(),
    cuts_last=st.booleans(),
    now=ends,
)


def truth(api, start, end):
    """What the API's inferences are from ``start`` to ``end``: counts, latest days, projects."""
    those = [inference for inference in api.inferences if start <= inference[2] < end]
    latest = {}
    for model, _, at in those:
        latest[model] = max(latest.get(model, START), round_down(at, DAY))
    return Counter(at.date() for *_, at in those), latest, {project for _, project, _ in those}


@given(apis)
def test_every_paging_finds_all_counts_and_the_latest_inference(api):
    """The time is exact to the minute where the API shows empty buckets too."""
    usage, pages, _ = read(api)
    expected, days_used, projects = truth(api, START, api.now)
    newest = max((at for *_, at in api.inferences if at < api.now), default=None)
    assert (START, api.now) == (usage.start, usage.end)
    if api.keeps_empty:
        minute = round_down(newest, MINUTE) if newest is not None else None
        models = (m for m, _, at in api.inferences if at < api.now and at >= (minute or api.now))
        assert ((min(models), minute) if minute is not None else None) == known(usage)
        assert (Precision.MINUTE if minute is not None else None) is usage.precision
        assert (True, None, api.now) == (usage.complete, usage.failure, usage.covered_until)
    elif newest is not None:
        assert round_down(newest, DAY) <= usage.latest.at <= newest <= usage.latest.at + usage.latest.within
    assert (len(days_used), projects) == (usage.models, usage.projects)
    assert expected == sum((Counter(counts(page)) for page in pages), Counter())
    assert len(pages) == usage.pages


@given(apis, st.integers(0, 90))
def test_interrupted_reading_is_correct_for_the_time_it_covers(api, cut):
    refusal = error(500)
    usage, pages, _ = read(lambda call: refusal if len(api.calls) == cut else api(call))
    for one in pages:
        learnt_facts = counts(one), latest(one), set(one.projects)
        if spans(one):
            assert truth(api, spans(one)[0][0], spans(one)[-1][1]) == learnt_facts
        for start, end in spans(one):
            assert START <= start < end <= api.now
    assert usage.covered_until <= api.now
    daily = [call for call in api.calls if call.query["bucket_width"] == "1d"]
    assert len(daily) == usage.pages == len(pages)
    assert not usage.complete or START < usage.covered_until >= api.now - MINUTE
    if usage.latest is not None:
        end = usage.latest.at + usage.latest.within
        ran = [(name, when) for name, _, when in api.inferences if usage.latest.at <= when < end]
        assert usage.latest.model in {name for name, _ in ran}


def test_requests_narrow_from_days_to_hours_to_minutes():
    start, used = TODAY - 40 * DAY, TODAY + timedelta(hours=9, minutes=41, seconds=7)
    usage, _, calls = read(UsageApi([(A, "proj_a", used)]), start + timedelta(hours=5))

    def asked(width, limit, first, until=None, group_by=("model",)):
        end = {"end_time": int(until.timestamp())} if until is not None else {}
        query = {"start_time": int(first.timestamp()), "bucket_width": width, "limit": limit}
        return {**query, "group_by": list(group_by), **end}

    daily = asked("1d", 31, start, group_by=("model", "project_id"))
    hours = asked("1h", 24, TODAY, NOW)
    minutes = asked("1m", 60, TODAY + 9 * HOUR, TODAY + 10 * HOUR)
    assert [daily, {**daily, "page": "page_31"}, hours, minutes] == [call.query for call in calls]
    assert {("get", "/organization/usage/completions", KEY, timedelta(seconds=60))} == {
        (call.method, call.path, call.key, call.timeout) for call in calls
    }
    assert KEY not in repr(calls) + repr(UsageQuery(DAYS, START, None, "acme-28gund", KEY))
    assert (A, used.replace(second=0)) == known(usage)


def test_range_starts_at_the_utc_day_and_needs_a_time_zone():
    zone = timezone(timedelta(hours=-5))
    usage, (one,), _ = read(UsageApi([]), datetime(2026, 11, 20, 20, 30, tzinfo=zone))
    assert datetime(2026, 11, 21, tzinfo=timezone.utc) == usage.start
    assert [(usage.start, NOW)] == spans(one)
    assert (None, None, 0, NOW) == (usage.latest, usage.precision, usage.models, usage.covered_until)
    with pytest.raises(ValueError, match="time zone"):
        read(scripted(), NOW.replace(tzinfo=None))
    assert not read(scripted(page()), NOW + 90 * DAY)[0].complete  # a clock here is months ahead


FIRST = page(bucket(START, row(A)), following="two")
LATER = START + DAY
GOOD = bucket(LATER, row(B))
LATER_SECOND = int(LATER.timestamp())


@pytest.mark.parametrize(
    "second",
    [
        None,
        "<html>",
        [],
        page(GOOD, "no bucket"),
        page(GOOD, bucket(START)),
        page(bucket(START)),
        page(bucket(TODAY + 8 * DAY)),
        page(bucket(LATER + HOUR)),
        page(bucket(LATER, length=2 * DAY)),
        page(bucket(LATER, length=0 * DAY)),
        page({**GOOD, "results": None}),
        *(
            page({**GOOD, name: value})
            for name in ("start_time", "end_time")
            for value in (None, True, float("nan"), float(LATER_SECOND), 10**400, -1)
        ),
    ],
    ids=lambda body: str(body)[-60:].encode("ascii", "replace").decode(),
)
def test_malformed_page_ends_the_reading_and_is_ignored_as_a_whole(second):
    usage, learnt, calls = read(scripted(FIRST, second))
    assert isinstance(usage.failure, UnreadableUsageError)
    assert "not a page of usage as it is documented" in str(usage.failure)
    assert (False, LATER, 1, 2) == (usage.complete, usage.covered_until, usage.pages, len(calls))
    assert ([{A: START}], (A, START)) == ([latest(learnt_page) for learnt_page in learnt], known(usage))
    assert Precision.DAY == usage.precision


@pytest.mark.parametrize(
    "odd",
    [
        "no result",
        None,
        row(None),
        row(["ft:x"]),
        row(""),
        row("ft: x"),
        row("ft:" + "x" * 600),
        *(row(B, count) for count in (None, True, -1, 1.0, 10**400)),
    ],
    ids=lambda odd: str(odd)[-60:],
)
def test_row_that_may_hide_a_fine_tune_leaves_its_bucket_uncovered(odd):
    """The other rows count, and the other buckets stay covered; the reading is incomplete."""
    usage, (one,), _ = read(scripted(days(day0=[row(A, 2)], day1=[row(A, 3), odd], day2=[row(B)])))
    day = START.date()
    assert {day: 2, day + DAY: 3, day + 2 * DAY: 1} == counts(one)
    assert [(START, LATER), (LATER + DAY, NOW)] == spans(one)
    assert (False, LATER, (B, LATER + DAY)) == (usage.complete, usage.covered_until, known(usage))
    assert str(LATER.date()) in str(usage.failure)


def test_rows_of_other_models_or_without_requests_are_ignored():
    odd = [row(A, 1, project) for project in (None, 7, "a\nb", "p" * 129)]
    tuned = [row(A, 2), row(A, 3, "proj_b"), row(B, 0, "proj_c"), *odd]
    others = [row("gpt-4o", -1), row("gpt-4o-mini", None), row(None, 0)]
    usage, (one,), _ = read(scripted(days(day3=[*tuned, *others]), error(500)))
    assert ({A: TODAY}, {TODAY.date(): 9}) == (latest(one), counts(one))
    assert {"proj_a", "proj_b"} == usage.projects == one.projects
    assert (True, 1) == (usage.complete, usage.models)


@pytest.mark.parametrize(
    ("missing", "covered", "until"),
    [
        ({0}, [(LATER, NOW)], START),
        ({1}, [(START, LATER), (LATER + DAY, NOW)], LATER),
        ({3}, [(START, TODAY)], TODAY),
        ({0, 1, 2, 3}, [], START),
    ],
    ids=["at the start", "in the middle", "at the end", "all"],
)
def test_omitted_buckets_are_not_covered(missing, covered, until):
    """The first gap is named."""
    body = days()
    body["data"] = [day_bucket for number, day_bucket in enumerate(body["data"]) if number not in missing]
    usage, (one,), _ = read(scripted(body))
    assert (covered, until, False, NOW) == (spans(one), usage.covered_until, usage.complete, usage.end)
    assert f"do not show all usage of {until.date()}" in str(usage.failure)


def test_coverage_ends_at_the_apis_present():
    for length, until in ((DAY, NOW), (NOW - TODAY - timedelta(seconds=9), NOW - timedelta(seconds=9))):
        body = days()
        body["data"][-1] = bucket(TODAY, length=length)
        usage, (one,), _ = read(scripted(body))
        assert (True, until, [(START, until)]) == (usage.complete, usage.covered_until, spans(one))


def test_slow_local_clock_hides_no_inference():
    body = days(until=NOW + 2 * DAY, day5=[row(A)])
    usage, _, _ = read(scripted(body, error(500)))
    assert (True, NOW) == (usage.complete, usage.covered_until)
    assert ((A, TODAY + 2 * DAY), DAY) == (known(usage), usage.latest.within)


@pytest.mark.parametrize(
    "after",
    [page(), page(following="three"), page(bucket(START)), error(400), error(500), "<html>"],
    ids=["empty", "endless", "again", "400", "500", "no page"],
)
def test_cursor_after_the_apis_present_is_not_followed(after):
    usage, _, calls = read(scripted({**days(), "has_more": True, "next_page": "two"}, after))
    assert (True, NOW, 1, 2) == (usage.complete, usage.covered_until, usage.pages, len(calls))


@pytest.mark.parametrize(
    "word",
    [{"has_more": True, "next_page": value} for value in (None, "", 7, "\ud800", "a\n", "x" * 5_000)]
    + [{"has_more": None, "next_page": None}, {"has_more": False, "next_page": "two"}],
    ids=ascii,
)
def test_invalid_cursor_ends_the_reading(word):
    for body, complete in ((days(), True), (page(bucket(START)), False)):
        usage, _, calls = read(scripted({**body, **word}))
        assert (complete, 1) == (usage.complete, len(calls))


def test_api_error_ends_the_reading_and_keeps_earlier_pages():
    refused = error(403)
    usage, learnt, _ = read(scripted(FIRST, refused))
    assert refused is usage.failure
    assert (False, LATER, (A, START)) == (usage.complete, usage.covered_until, known(usage))
    assert 1 == len(learnt) == usage.pages
    usage, learnt, _ = read(scripted(openai.APITimeoutError(request=None)))
    assert (START, START, None, []) == (usage.covered_until, usage.end, usage.latest, learnt)


@pytest.mark.parametrize("cursor", ["again", None], ids=["one cursor", "ever new cursors"])
def test_endless_empty_pages_are_limited(cursor):
    numbers = iter(range(1_000))
    usage, _, calls = read(lambda _: named(page(following=cursor or f"page_{next(numbers)}")))
    assert isinstance(usage.failure, UnreadableUsageError)
    assert (START, None) == (usage.covered_until, usage.latest)
    assert len(calls) < 10


def test_empty_page_is_followed_by_the_next():
    usage, (_, one), _ = read(scripted(page(following="two"), page(GOOD)))
    assert (START, False, 2) == (usage.covered_until, usage.complete, usage.pages)
    assert ([(LATER, LATER + DAY)], {B: LATER}) == (spans(one), latest(one))


@pytest.mark.parametrize(("name", "expected"), [("umbrella", "umbrella"), (None, "does not name")])
def test_page_of_another_organization_is_refused(name, expected):
    for answers, read_before in (([named(FIRST, name)], 0), ([named(FIRST), named(page(GOOD), name)], 1)):
        usage, learnt, _ = read(scripted(*answers))
        assert (False, read_before) == (usage.complete, len(learnt))
        assert type(usage.failure) is UsageSyncError
        assert expected in str(usage.failure)
        assert "acme-28gund" in str(usage.failure)
        assert usage.failure.remedy


HOURS = page(*(bucket(TODAY + i * HOUR, *[row(A)] * (i == 7), length=HOUR) for i in range(12)))


@pytest.mark.parametrize(
    "unusable",
    [
        error(429),
        page(),
        page(bucket(TODAY + 7 * HOUR, row(A), length=HOUR)),
        page(bucket(TODAY + 7 * HOUR, row("gpt-4o"), row(A, 0))),
        page(bucket(TODAY + 7 * HOUR, row(A), length=DAY)),
        page(bucket(TODAY - DAY, row(A), length=MINUTE)),
        named(HOURS, "umbrella"),
        "<html>",
    ],
)
def test_unreadable_finer_bucket_leaves_the_coarser_time(unusable):
    """The latest inference counts from the start of the day or hour, and the reading is complete."""
    usage, _, calls = read(after_days(unusable))
    assert (True, (A, TODAY), Precision.DAY) == (usage.complete, known(usage), usage.precision)
    assert 2 == len(calls)
    usage, _, _ = read(after_days(HOURS, unusable))
    assert (True, (A, TODAY + 7 * HOUR), Precision.HOUR) == (usage.complete, known(usage), usage.precision)
    assert HOUR == usage.latest.within


def test_page_becomes_history():
    usage, (one,), _ = read(scripted(days(day0=[row(A, 3)], day3=[row(B)]), error(500)))
    models = one.history.models
    assert [(B, TODAY, NOW - TODAY), (A, START, DAY)] == sorted(
        (inference.model, inference.at, inference.within) for inference in models.values()
    )
    assert {Source.USAGE_API} == {inference.source for inference in models.values()}
    assert one.history.evidence == Evidence(
        organization="acme-28gund",
        last_inference=models[B],
        fine_tuned_by=START,
        usage_read=(Span(start=START, end=NOW),),
    )
    assert {START.date(): {Source.USAGE_API: 3}, TODAY.date(): {Source.USAGE_API: 1}} == one.history.daily
    assert models[B] == usage.latest
    nothing, (empty,), _ = read(scripted(days()))
    assert (None, None) == (nothing.latest, empty.history.evidence.fine_tuned_by)
