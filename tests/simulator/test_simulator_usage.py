from __future__ import annotations

from datetime import timedelta

import openai
import pytest

from finetune_guard.simulator import Fault, Simulator, UsageFlaw
from tests.simulator.conftest import ADMIN_KEY
from tests.support.constants import BASE, MESSAGES, START

DAY = 86_400
FIRST = int(START.timestamp())
PATH = "/organization/usage/completions"


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


def test_usage_counts_chats_and_responses_with_their_tokens(sim, connect, ask, client, chat, model):
    usage = chat(model).usage
    chat(model, stream=True).close()
    spoken = client.responses.create(model=model, input="hello").usage
    list(client.responses.create(model=model, input="hello", stream=True))
    lenient = connect(sim, _strict_response_validation=False)
    lenient.embeddings.create(model="text-embedding-3-small", input="hello")
    with pytest.raises(openai.NotFoundError):
        chat("gpt-nothing")
    sim.fault(Fault(path="/v1/chat/completions", status=500))
    with pytest.raises(openai.InternalServerError):
        chat()

    (result,) = results(ask())
    assert 4 == result["num_model_requests"]
    assert 2 * (usage.prompt_tokens + spoken.input_tokens) == result["input_tokens"]
    assert 2 * (usage.completion_tokens + spoken.output_tokens) == result["output_tokens"]


def test_grouped_usage_has_its_fields(sim, connect, ask, chat, model):
    project = sim.add_project(sim.organization().slug, "sk-simulated-second")
    chat(model)
    chat("gpt-4o-mini")
    connect(sim, api_key="sk-simulated-second").chat.completions.create(model=model, messages=MESSAGES)
    names = ("model", "project_id", "batch", "api_key_id", "user_id")

    (everything,) = results(ask())
    assert (3, [None] * 5) == (everything["num_model_requests"], [everything[name] for name in names])
    by_model = [(row["model"], row["num_model_requests"]) for row in results(ask(group_by=["model"]))]
    assert [(model, 2), (BASE, 1)] == by_model
    by_all = [tuple(row[name] for name in names) for row in results(ask(group_by=names))]
    first = sim.organization().project
    expected = {(model, first), (model, project), (BASE, first)}
    assert {(*pair, False, None, None) for pair in expected} == set(by_all)


@pytest.mark.parametrize(
    "query", ["group_by=model&group_by=batch", "group_by=model,batch", "group_by[]=model"]
)
def test_list_parameters_in_every_spelling(sim, connect, chat, query):
    chat()
    page = connect(sim, api_key=ADMIN_KEY).get(f"{PATH}?start_time={FIRST}&{query}", cast_to=object)
    assert BASE == results(page)[0]["model"]


def test_every_day_has_a_bucket(clock, ask, chat):
    """Start and end shorten the first and the last one."""
    chat()
    clock.advance(timedelta(days=2, hours=6))
    chat()
    page = ask()
    days = [(FIRST, FIRST + DAY), (FIRST + DAY, FIRST + 2 * DAY)]
    assert [*days, (FIRST + 2 * DAY, FIRST + 2 * DAY + 6 * 3600 + 1)] == spans(page)
    assert ([1, 0, 1], []) == (requests(page), page["data"][1]["results"])
    assert (False, None) == (page["has_more"], page["next_page"])
    cut = ask(start_time=FIRST + 3661, end_time=FIRST + DAY + 7200)
    assert [(FIRST + 3660, FIRST + DAY), (FIRST + DAY, FIRST + DAY + 7200)] == spans(cut)


@pytest.mark.parametrize(
    ("width", "seconds", "default", "most"), [("1m", 60, 60, 1440), ("1h", 3600, 24, 168), ("1d", DAY, 7, 31)]
)
def test_bucket_widths_and_page_limits(clock, ask, chat, width, seconds, default, most):
    chat()
    clock.advance(timedelta(seconds=seconds))
    chat()
    clock.advance(timedelta(seconds=2000 * seconds))
    page = ask(bucket_width=width)
    assert (default, True) == (len(page["data"]), page["has_more"])
    assert [(FIRST, FIRST + seconds), (FIRST + seconds, FIRST + 2 * seconds)] == spans(page)[:2]
    assert [1, 1, 0] == requests(page)[:3]
    assert most == len(ask(bucket_width=width, limit=most)["data"])
    for limit in (0, most + 1):
        with pytest.raises(openai.BadRequestError) as caught:
            ask(bucket_width=width, limit=limit)
        assert "limit" == caught.value.param


def test_pages_have_no_gaps_or_overlaps(clock, ask, chat):
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
        ({"end_time": FIRST}, "end_time"),
        ({"bucket_width": "1w"}, "bucket_width"),
        ({"group_by": ["colour"]}, "group_by"),
        ({"batch": "maybe"}, "batch"),
        ({"page": "page_MQ=="}, "page"),
    ],
)
def test_wrong_query_names_the_parameter(ask, query, param):
    with pytest.raises(openai.BadRequestError) as caught:
        ask(**query)
    assert param == caught.value.param


def test_usage_lag_delays_usage(clock, connect):
    with Simulator(clock=clock, admin_key=ADMIN_KEY, usage_lag=timedelta(hours=1)) as slow:
        connect(slow).chat.completions.create(model=BASE, messages=MESSAGES)
        admin = connect(slow, api_key=ADMIN_KEY)
        for wait, expected in ((timedelta(minutes=59, seconds=59), 0), (timedelta(seconds=1), 1)):
            clock.advance(wait)
            assert [expected] == requests(admin.get(f"{PATH}?start_time={FIRST}", cast_to=object))


@pytest.mark.skipif(not hasattr(openai.OpenAI, "admin"), reason="this openai release has no admin API")
def test_sdk_method_reads_the_usage(sim, connect, chat, model):
    chat(model)
    client = connect(sim, admin_api_key=ADMIN_KEY)
    page = client.admin.organization.usage.completions(
        start_time=FIRST, bucket_width="1d", group_by=["model"], models=[model], limit=31
    )
    assert client.models.list().data
    ((result,),) = (bucket.results for bucket in page.data)
    assert (model, 1) == (result.model, result.num_model_requests)
    assert (False, None) == (page.has_more, page.next_page)


def test_faults_make_incomplete_pages(clock, sim, ask, chat):
    clock.advance(timedelta(days=2, hours=9))
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
