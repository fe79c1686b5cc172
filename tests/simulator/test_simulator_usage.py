from __future__ import annotations

from datetime import datetime, timedelta, timezone

import openai
import pytest

from finetune_guard.simulator import Fault, Simulator, UsageFlaw
from tests.support.constants import BASE, MESSAGES

ADMIN_KEY = "sk-simulated-admin"
DAY = 86_400
START = 1785542400  # 2026-08-01 00:00 UTC, where the clock stands
PATH = "/organization/usage/completions"


@pytest.fixture
def sim(clock):
    with Simulator(clock=clock, admin_key=ADMIN_KEY) as simulator:
        yield simulator


@pytest.fixture
def ask(sim, connect):
    """Reads the usage as an admin, with whatever query."""
    admin = connect(sim, api_key=ADMIN_KEY)

    def read(**query):
        return admin.get(PATH, cast_to=object, options={"params": {"start_time": START, **query}})

    return read


@pytest.fixture
def chat(client):
    def talk(model=BASE, **options):
        return client.chat.completions.create(model=model, messages=MESSAGES, **options)

    return talk


def spans(page):
    return [(bucket["start_time"], bucket["end_time"]) for bucket in page["data"]]


def requests(page):
    return [sum(result["num_model_requests"] for result in bucket["results"]) for bucket in page["data"]]


def results(page):
    (bucket,) = page["data"]
    return bucket["results"]


def test_every_kind_of_inference_is_counted(ask, client, chat, model):
    """Chats, responses and completions count, streamed or not, with the tokens that they said they used."""
    said = chat(model).usage
    chat(model, stream=True).close()
    spoken = client.responses.create(model=model, input="hello").usage
    for _ in client.responses.create(model=model, input="hello", stream=True):
        pass

    (result,) = results(ask())

    assert 4 == result["num_model_requests"]
    assert 2 * (said.prompt_tokens + spoken.input_tokens) == result["input_tokens"]
    assert 2 * (said.completion_tokens + spoken.output_tokens) == result["output_tokens"]


def test_what_is_no_completion_is_not_counted(sim, connect, ask, chat):
    """Embeddings, refused calls and calls that a fault answered are not in the usage."""
    lenient = connect(sim, _strict_response_validation=False)
    lenient.embeddings.create(model="text-embedding-3-small", input="hello")
    with pytest.raises(openai.NotFoundError):
        chat("gpt-nothing")
    sim.fault(Fault(path="/v1/chat/completions", status=500))
    with pytest.raises(openai.InternalServerError):
        chat()

    assert [] == results(ask())


def test_groups(sim, connect, ask, chat, model):
    """Grouped usage says what each result has in common; what was not asked for is null."""
    project = sim.add_project(sim.organization().slug, "sk-simulated-second")
    chat(model)
    chat("gpt-4o-mini")
    second = connect(sim, api_key="sk-simulated-second")
    second.chat.completions.create(model=model, messages=MESSAGES)

    (everything,) = results(ask())
    by_model = results(ask(group_by=["model"]))
    by_both = results(ask(group_by=["model", "project_id", "batch", "api_key_id", "user_id"]))

    nulls = ("model", "project_id", "batch", "api_key_id", "user_id")
    assert (3, [None] * 5) == (everything["num_model_requests"], [everything[name] for name in nulls])
    assert [(model, 2), (BASE, 1)] == [(each["model"], each["num_model_requests"]) for each in by_model]
    first = sim.organization().project
    assert {(model, first), (model, project), (BASE, first)} == {
        (each["model"], each["project_id"]) for each in by_both
    }
    assert {(False, None, None)} == {(each["batch"], each["api_key_id"], each["user_id"]) for each in by_both}


@pytest.mark.parametrize(
    "query", ["group_by=model&group_by=batch", "group_by=model,batch", "group_by[]=model"]
)
def test_every_way_to_write_a_list(sim, connect, chat, query):
    """Lists are understood with brackets, repeated, and with commas."""
    chat()

    page = connect(sim, api_key=ADMIN_KEY).get(f"{PATH}?start_time={START}&{query}", cast_to=object)

    assert BASE == results(page)[0]["model"]


def test_days_without_usage_are_there(clock, ask, chat):
    """Every day has its bucket from the start on, also one without any usage."""
    chat()
    clock.advance(timedelta(days=2, hours=5))
    chat()

    page = ask()

    assert [(START + n * DAY, START + (n + 1) * DAY) for n in range(2)] == spans(page)[:2]
    assert [1, 0, 1] == requests(page)
    assert [] == page["data"][1]["results"]
    assert (False, None) == (page["has_more"], page["next_page"])


def test_the_edges_are_cut(clock, ask):
    """Buckets meet at whole days in UTC; the first begins at the start, the last ends at the end or now."""
    clock.advance(timedelta(days=1, hours=6))

    cut = ask(start_time=START + 3661, end_time=START + DAY + 7200)

    assert [(START + 3660, START + DAY), (START + DAY, START + DAY + 7200)] == spans(cut)
    assert START + DAY + 6 * 3600 + 1 == spans(ask())[-1][1]


@pytest.mark.parametrize(("width", "seconds", "default"), [("1m", 60, 60), ("1h", 3600, 24), ("1d", DAY, 7)])
def test_widths(clock, ask, chat, width, seconds, default):
    """Minutes, hours and days are buckets; without a limit a page has 60, 24 or 7 of them."""
    chat()
    clock.advance(timedelta(seconds=seconds))
    chat()
    clock.advance(timedelta(seconds=200 * seconds))

    page = ask(bucket_width=width)

    assert default == len(page["data"])
    assert [(START, START + seconds), (START + seconds, START + 2 * seconds)] == spans(page)[:2]
    assert [1, 1, 0] == requests(page)[:3]
    assert page["has_more"]


@pytest.mark.parametrize(("width", "most"), [("1m", 1440), ("1h", 168), ("1d", 31)])
def test_limits(clock, ask, width, most):
    """A page has as many buckets as asked for, and at most so many; more is a 400."""
    clock.advance(timedelta(days=60))

    assert most == len(ask(bucket_width=width, limit=most)["data"])
    for limit in (0, most + 1):
        with pytest.raises(openai.BadRequestError) as caught:
            ask(bucket_width=width, limit=limit)
        assert "limit" == caught.value.param


def test_pages(clock, ask, chat):
    """Sixty days are read in pages that neither overlap nor leave anything out."""
    for _ in range(60):
        chat()
        clock.advance(timedelta(days=1))

    pages = [ask(limit=31)]
    while pages[-1]["has_more"]:
        pages.append(ask(limit=31, page=pages[-1]["next_page"]))

    assert [31, 30] == [len(page["data"]) for page in pages]
    assert [*[1] * 60, 0] == [number for page in pages for number in requests(page)]
    assert spans(pages[0])[-1][1] == spans(pages[1])[0][0]


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"start_time": ""}, "start_time"),
        ({"end_time": START}, "end_time"),
        ({"bucket_width": "1w"}, "bucket_width"),
        ({"group_by": ["colour"]}, "group_by"),
        ({"batch": "maybe"}, "batch"),
        ({"page": "page_MQ=="}, "page"),
    ],
)
def test_wrong_queries_are_refused(ask, query, param):
    """A query that can't be is a 400 that names the parameter."""
    with pytest.raises(openai.BadRequestError) as caught:
        ask(**query)

    assert param == caught.value.param


def test_usage_can_lag(clock, connect):
    """A simulator can be told to show requests only after some time, as a real one may."""
    with Simulator(clock=clock, admin_key=ADMIN_KEY, usage_lag=timedelta(hours=1)) as slow:
        connect(slow).chat.completions.create(model=BASE, messages=MESSAGES)
        admin = connect(slow, api_key=ADMIN_KEY)

        def seen():
            return requests(admin.get(f"{PATH}?start_time={START}", cast_to=object))

        clock.advance(timedelta(minutes=59, seconds=59))
        assert [0] == seen()
        clock.advance(timedelta(seconds=1))
        assert [1] == seen()


def test_organizations_do_not_see_each_other(sim, connect, ask):
    """An organization's usage is its own."""
    globex = sim.add_organization(slug="globex-77", api_key="sk-globex", models=[BASE])
    connect(sim, globex).chat.completions.create(model=BASE, messages=MESSAGES)

    assert [0] == requests(ask())


@pytest.mark.skipif(not hasattr(openai.OpenAI, "admin"), reason="this openai release has no admin API")
def test_the_sdk_reads_the_usage(sim, connect, chat, model):
    """The SDK's own method reads it, with the admin key beside the project's."""
    chat(model)
    with openai.OpenAI(
        base_url=sim.base_url,
        api_key=sim.organization().api_key,
        admin_api_key=ADMIN_KEY,
        _strict_response_validation=True,
    ) as client:
        page = client.admin.organization.usage.completions(
            start_time=START, bucket_width="1d", group_by=["model"], models=[model], limit=31
        )

        assert client.models.list().data

    ((result,),) = (bucket.results for bucket in page.data)
    assert (model, 1) == (result.model, result.num_model_requests)
    assert (False, None) == (page.has_more, page.next_page)


def test_a_page_can_be_flawed(clock, sim, ask, chat):
    """Buckets are left out, a page too many is promised, and models are left out, on request."""
    clock.set(datetime(2026, 8, 3, 9, tzinfo=timezone.utc))
    chat()
    whole = ask(group_by="model")

    def flawed(**flaw):
        sim.fault(Fault(path=f"/v1{PATH}", method="GET", usage=UsageFlaw(**flaw)))
        return ask(group_by="model")

    assert 3 == len(whole["data"])
    assert whole["data"][1:] == flawed(leaves_out=(0,))["data"]
    assert whole["data"][:-1] == flawed(leaves_out=(-1,))["data"]
    assert whole["data"][-1:] == flawed(leaves_out="empty")["data"]
    assert [] == flawed(leaves_out="all")["data"]
    (result,) = flawed(null_models=True)["data"][-1]["results"]
    assert (None, 1) == (result["model"], result["num_model_requests"])
    spare = flawed(spare_cursor=True)
    assert (whole["data"], True) == (spare["data"], spare["has_more"])
    after = ask(page=spare["next_page"])
    assert ([], False) == (after["data"], after["has_more"])
