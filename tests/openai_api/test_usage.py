"""What the organization's usage tells: the latest inference, the counts, and how far that is certain."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime, timedelta, timezone

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_guard.domain.errors import UnreadableUsageError
from finetune_guard.domain.history import Inference, Source
from finetune_guard.openai_api.usage import as_history, read_usage
from finetune_guard.openai_api.usage_pages import Precision, UsagePart
from tests.openai_api.flow_scripts import NOW, error
from tests.openai_api.usage_api import LENGTHS, UsageApi, bucket, named, page, row

A, B = "ft:gpt-4o-mini-2024-07-18:acme::Aaa", "ft:gpt-4.1-2025-04-14:acme:bot:Bbb:ckpt-step-16"
DAY, HOUR, MINUTE = LENGTHS["1d"], LENGTHS["1h"], LENGTHS["1m"]
KEY = "sk-admin-very-secret"
TODAY = NOW.replace(hour=0)
START = TODAY - 3 * DAY


def read(answer, start=START, end=NOW):
    """Read with what ``answer`` says to each call: the outcome, what was learnt, and the calls."""
    learnt, calls = [], []
    flow = read_usage(start, end, key=KEY, learn=lambda part, reply: learnt.append((part, reply)))
    try:
        call = next(flow)
        while True:
            calls.append(call)
            given_back = answer(call)
            call = flow.throw(given_back) if isinstance(given_back, Exception) else flow.send(given_back)
    except StopIteration as stop:
        return stop.value, [part for part, _ in learnt], calls


def scripted(*answers):
    """Answers in turn; what isn't a reply or an error is a body."""
    script = iter(answers)

    def answer(call):
        following = next(script)
        return named(following) if isinstance(following, dict | list | str | int | None) else following

    return answer


def after_days(*finer):
    """Answers of which the first tells of A today, and ``finer`` follow."""
    return scripted(page(bucket(TODAY, row(A))), *finer)


def floored(at, length):
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
apis = st.builds(
    UsageApi, inferences, page_size=st.integers(1, 40), keeps_empty=st.booleans(), cuts_last=st.booleans()
)
ends = st.builds(
    lambda days, seconds: START + days * DAY + timedelta(seconds=seconds),
    st.integers(0, 80),
    st.integers(1, 86_400),
)


def truth(api, start, end):
    """What the API's inferences are from ``start`` to ``end``: counts, latest days, projects."""
    those = [each for each in api.inferences if start <= each[2] < end]
    latest = {}
    for model, _, at in those:
        latest[model] = max(latest.get(model, START), floored(at, DAY))
    return Counter(at.date() for *_, at in those), latest, {project for _, project, _ in those}


@given(apis, ends)
def test_all_is_found_however_it_is_paged(api, end):
    """The newest inference's minute and every day's counts, whether or not the API gives empty days."""
    usage, parts, _ = read(api, end=end)
    counts, latest, projects = truth(api, START, end)
    newest = max((at for *_, at in api.inferences if at < end), default=None)
    minute = floored(newest, MINUTE) if newest is not None else None
    model = min((m for m, _, at in api.inferences if at < end and at >= (minute or end)), default=None)
    assert (True, None) == (usage.complete, usage.failure)
    assert (START, end, end) == (usage.start, usage.end, usage.covered_until)
    assert ((model, minute) if model is not None else None) == usage.latest
    assert (Precision.MINUTE if model is not None else None) == usage.precision
    assert (len(latest), projects, "acme-28gund") == (usage.models, usage.projects, usage.organization)
    assert counts == sum((Counter(part.counts) for part in parts), Counter())
    assert len(parts) == usage.pages


@given(apis, ends, st.integers(0, 90))
def test_nothing_that_was_learnt_is_wrong_wherever_reading_is_cut_off(api, end, cut):
    """What was learnt is exactly what happened in the time it covers, and is kept whatever comes next."""
    refusal = error(500)
    usage, parts, _ = read(lambda call: refusal if len(api.calls) == cut else api(call), end=end)
    reached = START
    for part in parts:
        assert reached == part.start
        assert truth(api, part.start, part.end) == (part.counts, part.latest, part.projects)
        reached = part.end
    assert reached == usage.covered_until <= end
    daily = [call for call in api.calls if call.query["bucket_width"] == "1d"]
    assert len(daily) == usage.pages == len(parts)
    assert (refusal if usage.covered_until < end else None) is usage.failure
    if usage.latest is not None:
        model, at = usage.latest
        length = {Precision.DAY: DAY, Precision.HOUR: HOUR, Precision.MINUTE: MINUTE}[usage.precision]
        newest = max(when for *_, when in api.inferences if when < reached)
        assert floored(newest, length) == at
        assert any(at <= when < at + length for name, _, when in api.inferences if name == model)


json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**18, -(10**18), 10**400, float("nan"), float("inf"), int(START.timestamp())])
    | st.text(max_size=5)
    | st.sampled_from([A, "1d", "page"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(json)
def test_a_body_that_is_no_page_of_usage_is_a_failure(body):
    """Whatever JSON comes, nothing is raised, nothing learnt, and nothing counts as read."""
    usage, parts, calls = read(lambda _: named(body))
    assert isinstance(usage.failure, UnreadableUsageError)
    assert ([], 1, START, None) == (parts, len(calls), usage.covered_until, usage.latest)


seconds = st.integers(-1, 4).map(lambda days: int((START + days * DAY).timestamp())) | json
rows = st.fixed_dictionaries(
    {"model": st.just(A) | json, "num_model_requests": st.integers(-1, 2) | json, "project_id": json}
)
buckets = st.fixed_dictionaries(
    {"start_time": seconds, "end_time": seconds, "results": st.lists(rows | json, max_size=2) | json}
)
pages = st.fixed_dictionaries(
    {
        "data": st.lists(buckets | json, max_size=3) | json,
        "has_more": st.booleans() | json,
        "next_page": st.sampled_from(["one", "two"]) | json,
    }
)


@given(st.lists(pages, min_size=1, max_size=3))
def test_pages_that_are_nearly_right_never_break_anything(bodies):
    """Each page is taken as a whole or not at all, and the time covered grows only by those taken."""
    script = [*bodies, "no page"]
    usage, parts, _ = read(lambda _: named(script.pop(0) if len(script) > 1 else script[0]))
    assert usage.complete == (usage.covered_until == NOW and usage.failure is None)
    assert (parts[-1].end if parts else START) == usage.covered_until
    for part in parts:
        as_history(part, "acme")


def test_what_is_asked():
    """Days first, then the last active day's hours, then its last hour's minutes; the key is never shown."""
    start, used = TODAY - 40 * DAY, TODAY + timedelta(hours=9, minutes=41, seconds=7)
    usage, _, calls = read(UsageApi([(A, "proj_a", used)]), start + timedelta(hours=5), NOW)
    days = {
        "start_time": int(start.timestamp()),
        "end_time": int(NOW.timestamp()),
        "bucket_width": "1d",
        "group_by": ["model", "project_id"],
        "limit": 31,
    }
    hours = {
        "start_time": int(TODAY.timestamp()),
        "end_time": int(NOW.timestamp()),
        "bucket_width": "1h",
        "group_by": ["model"],
        "limit": 24,
    }
    minutes = {
        "start_time": int((TODAY + 9 * HOUR).timestamp()),
        "end_time": int((TODAY + 10 * HOUR).timestamp()),
        "bucket_width": "1m",
        "group_by": ["model"],
        "limit": 60,
    }
    assert [days, {**days, "page": "page_31"}, hours, minutes] == [call.query for call in calls]
    assert {("get", "/organization/usage/completions", KEY, timedelta(seconds=60))} == {
        (call.method, call.path, call.key, call.timeout) for call in calls
    }
    assert KEY not in repr(calls)
    assert (A, used.replace(second=0)) == usage.latest


def test_the_range_begins_with_a_day_and_ends_with_a_second():
    """A start in the middle of a day, in whatever zone, is that of its UTC day; the end is a whole second."""
    zone = timezone(timedelta(hours=-5))
    start = datetime(2026, 11, 20, 20, 30, tzinfo=zone)
    usage, parts, _ = read(UsageApi([]), start, NOW + timedelta(seconds=5.5))
    assert datetime(2026, 11, 21, tzinfo=timezone.utc) == usage.start == parts[0].start
    assert NOW + timedelta(seconds=5) == usage.end == usage.covered_until == parts[0].end
    assert (None, None, 0) == (usage.latest, usage.precision, usage.models)


@pytest.mark.parametrize("end", [TODAY, TODAY + timedelta(seconds=0.5), START])
def test_nothing_is_asked_about_no_time(end):
    """An empty range is read without a request."""
    usage, parts, calls = read(scripted(), TODAY + HOUR, end)
    assert (True, TODAY, 0, [], []) == (usage.complete, usage.covered_until, usage.pages, parts, calls)


def test_a_time_without_a_zone_is_refused():
    """What day a naive time lies in can't be known."""
    with pytest.raises(ValueError, match="time zone"):
        read(scripted(), NOW.replace(tzinfo=None), NOW)


def test_each_reply_is_handed_on_with_what_it_told():
    """Who reads learns of each page at once, with the answer that names the organization."""
    heard = []
    flow = read_usage(START, NOW, key=KEY, learn=lambda part, reply: heard.append((part, reply)))
    next(flow)
    reply = named(page(bucket(START, row(A, 3)), following="two"))
    flow.send(reply)
    day = START.date()
    assert [
        (UsagePart(START, START + DAY, {A: START}, {day: 3}, frozenset({"proj_a"})), reply),
    ] == heard


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
        {},
        {**page(), "data": None},
        page(GOOD, "no bucket"),
        page(GOOD, bucket(START)),
        page(GOOD, GOOD),
        page(bucket(START)),
        page(bucket(START - DAY)),
        page(bucket(TODAY + DAY)),
        page(bucket(LATER + HOUR)),
        page(bucket(LATER, length=2 * DAY)),
        page(bucket(LATER, length=0 * DAY)),
        page(bucket(LATER, length=-DAY)),
        page({**GOOD, "results": None}),
        *(
            page({**GOOD, name: value})
            for name in ("start_time", "end_time")
            for value in (None, True, float("nan"), float(LATER_SECOND), "1", 10**400, -(10**400), -1, 10**15)
        ),
        page(bucket(LATER, "no result")),
        page(bucket(LATER, row(B), row(None))),
        page(bucket(LATER, row(["ft:x"]))),
        *(page(bucket(LATER, row(B, count))) for count in (None, True, -1, 1.0, float("nan"), "1", 10**400)),
        *({**page(GOOD), "has_more": value} for value in (None, 0, 1, "false")),
        {**page(GOOD, following="three"), "has_more": 1},
        *(
            {**page(GOOD), "has_more": True, "next_page": value}
            for value in (None, "", 7, "\ud800", "a\n", "x" * 5_000)
        ),
        page(GOOD, following="two"),
    ],
    ids=lambda body: str(body)[-60:].encode("ascii", "replace").decode(),
)
def test_a_page_that_is_not_as_documented_tells_nothing(second):
    """It ends the reading as a whole, also where only a part of it is wrong; what came before stays."""
    usage, parts, calls = read(scripted(FIRST, second))
    assert isinstance(usage.failure, UnreadableUsageError)
    assert "not a page of usage as it is documented" in str(usage.failure)
    assert (False, LATER, 1, 2) == (usage.complete, usage.covered_until, usage.pages, len(calls))
    assert ([{A: START}], (A, START)) == ([part.latest for part in parts], usage.latest)
    assert Precision.DAY == usage.precision


def test_a_bucket_that_begins_where_the_range_ends_was_not_asked_for():
    """The end of a range is exclusive."""
    usage, parts, _ = read(scripted(page(bucket(TODAY, row(A)))), end=TODAY)
    assert isinstance(usage.failure, UnreadableUsageError)
    assert [] == parts


def test_no_more_is_covered_than_was_asked_for():
    """The last day's bucket may end after the range does; what comes after the range is not known."""
    usage, parts, _ = read(scripted(page(bucket(TODAY, row(A)), following="two"), error(500)))
    assert NOW == usage.covered_until == parts[0].end
    assert not usage.complete


def test_an_error_of_the_api_ends_the_reading():
    """It is carried and not raised; what was read before stays."""
    refused = error(403)
    usage, parts, _ = read(scripted(FIRST, refused))
    assert refused is usage.failure
    assert (False, LATER, (A, START)) == (usage.complete, usage.covered_until, usage.latest)
    assert 1 == len(parts) == usage.pages
    usage, parts, _ = read(scripted(openai.APITimeoutError(request=None)))
    assert (START, None, None, []) == (usage.covered_until, usage.latest, usage.organization, parts)


def test_pages_without_end_are_not_followed_for_ever():
    """Empty pages that go on and on end the reading after about as many as there are days."""
    cursors = iter(range(1_000))
    usage, parts, calls = read(lambda _: named(page(following=f"page_{next(cursors)}")))
    assert isinstance(usage.failure, UnreadableUsageError)
    assert (START, [], None) == (usage.covered_until, parts, usage.latest)
    assert len(calls) < 10


def test_an_empty_page_leads_on():
    """A page whose days were all left out tells nothing yet; the next one covers its time, too."""
    usage, parts, _ = read(scripted(page(following="two"), page(GOOD), error(500)))
    assert (True, 2) == (usage.complete, usage.pages)
    assert [(START, NOW, {B: LATER})] == [(part.start, part.end, part.latest) for part in parts]


@pytest.mark.parametrize(
    ("one", "other", "complete", "name"),
    [
        ("acme", "acme", True, "acme"),
        ("acme", None, True, "acme"),
        (None, "acme", True, "acme"),
        (None, None, True, None),
        ("acme", "umbrella", False, "acme"),
    ],
)
def test_all_pages_must_be_of_one_organization(one, other, complete, name):
    """A page of another organization is refused; one that doesn't say is believed."""
    usage, parts, _ = read(scripted(named(FIRST, one), named(page(GOOD), other), error(500)))
    assert (complete, name, 2 if complete else 1) == (usage.complete, usage.organization, len(parts))


HOURS = page(bucket(TODAY + 7 * HOUR, row(A), length=HOUR))
UNUSABLE = [
    error(429),
    page(),
    page(bucket(TODAY + 7 * HOUR, row("gpt-4o"), row(A, 0))),
    page(bucket(TODAY + 7 * HOUR, row(A), length=DAY)),
    page(bucket(TODAY - DAY, row(A), length=MINUTE)),
    page(bucket(TODAY + 13 * HOUR, row(A), length=MINUTE)),
    {**HOURS, "has_more": True, "next_page": "two"},
    named(HOURS, "umbrella"),
    "<html>",
]


@pytest.mark.parametrize("unusable", UNUSABLE)
def test_the_day_stands_where_its_hours_cannot_be_read(unusable):
    """The latest inference then counts from the day's start, and the reading is complete."""
    usage, _, calls = read(after_days(unusable))
    assert (True, (A, TODAY), Precision.DAY) == (usage.complete, usage.latest, usage.precision)
    assert 2 == len(calls)


@pytest.mark.parametrize("unusable", UNUSABLE)
def test_the_hour_stands_where_its_minutes_cannot_be_read(unusable):
    """The latest inference then counts from the hour's start."""
    usage, _, _ = read(after_days(HOURS, unusable))
    assert (True, (A, TODAY + 7 * HOUR), Precision.HOUR) == (usage.complete, usage.latest, usage.precision)


def test_of_several_models_in_one_minute_the_first_by_name_is_told():
    """The same answer gives the same model, whatever the order of its rows."""
    minute = TODAY + 7 * HOUR + 3 * MINUTE
    for order in ((A, B), (B, A)):
        api = UsageApi([(model, "proj_a", minute) for model in order])
        assert (min(A, B), minute) == read(api)[0].latest


def test_rows_that_mean_nothing_here_are_passed_over():
    """Other models' rows, and those without requests, count for nothing; a model's rows add up."""
    tuned = [row(A, 2), row(A, 3, "proj_b"), row(B, 0, "proj_c"), row(A, 1, None)]
    others = [row("gpt-4o", -1), row("ft: x", None), row("ft:" + "x" * 600, True), row(None, 0)]
    usage, parts, _ = read(scripted(page(bucket(TODAY, *tuned, *others)), error(500)))
    assert ({A: TODAY}, {TODAY.date(): 6}) == (parts[0].latest, parts[0].counts)
    assert {"proj_a", "proj_b"} == usage.projects == parts[0].projects
    assert 1 == usage.models


@pytest.mark.parametrize("project", [None, 7, "", "a\nb", "p" * 129, ["proj_a"]])
def test_an_odd_project_is_not_kept(project):
    """Its requests count all the same."""
    usage, parts, _ = read(scripted(page(bucket(TODAY, row(A, 1, project))), error(500)))
    assert (frozenset(), {TODAY.date(): 1}) == (usage.projects, parts[0].counts)


def test_what_a_page_told_is_remembered_as_a_history():
    """Each model's latest inference, the newest of all, the days' counts, and where they come from."""
    part = UsagePart(START, NOW, {A: START, B: LATER}, {date(2026, 11, 19): 3}, frozenset({"proj_a"}))
    history = as_history(part, "acme")
    latest = {
        model: Inference(
            organization="acme", model=model, at=at, source=Source.USAGE_API, within=min(DAY, NOW - at)
        )
        for model, at in part.latest.items()
    }
    assert ("acme", latest, latest[B]) == (history.organization, history.models, history.last_inference)
    assert START == history.evidence.fine_tuned_by
    assert {date(2026, 11, 19): {Source.USAGE_API: 3}} == history.daily


def test_a_page_without_inferences_is_an_empty_history():
    """It proves no earlier fine-tuning."""
    history = as_history(UsagePart(START, NOW, {}, {}, frozenset()), "acme")
    assert (None, None) == (history.last_inference, history.evidence.fine_tuned_by)
    assert ({}, {}) == (history.models, history.daily)


def test_the_latest_inference_is_known_to_its_bucket():
    """It may have been up to the end of the bucket, or of what was read if that is earlier."""
    usage, _, _ = read(scripted(page(bucket(TODAY, row(A, 1))), error(500)))
    latest = usage.latest_inference("acme")
    assert (A, TODAY, min(DAY, usage.end - TODAY)) == (latest.model, latest.at, latest.within)
    nothing, _, _ = read(scripted(page(bucket(TODAY))))
    assert nothing.latest_inference("acme") is None
