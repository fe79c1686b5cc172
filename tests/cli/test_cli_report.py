from __future__ import annotations

import json
import sys
from datetime import timedelta
from html.parser import HTMLParser

from finetune_guard.cli.connection import connect
from finetune_guard.cli.report_page import as_html, as_markdown
from finetune_guard.domain.facts import ModelRequests
from finetune_guard.openai_api.listing import Listing
from finetune_guard.rules.inventory import build_inventory
from finetune_guard.rules.report import build_report
from tests.support.constants import BASE

HOSTILE = 'proj_<script>alert("1")</script>|[x](https://evil.example)'


class Page(HTMLParser):
    """The text of a page, its tags, and whatever it would load."""

    def __init__(self, html):
        super().__init__()
        self.text, self.tags, self.loads = "", [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.loads += [value for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]

    def handle_data(self, data):
        self.text += data


def test_report_has_verdict_dates_usage_and_models(
    run, ask, admin, model, sim, organization, clock, tmp_path
):
    idle = sim.add_model(organization, base=BASE, suffix="idle")
    for _ in range(3):
        ask(model)
    clock.advance(timedelta(days=2))
    path = tmp_path / "report.html"
    sim.clear_calls()
    result = run("report", "--html", str(path), "--refresh")
    assert (0, "") == (result.exit_code, result.stdout)
    assert 2 == sum(call.path == "/v1/models" for call in sim.calls)  # whose the key is, and all it sees
    page = Page(path.read_text(encoding="utf-8"))
    assert [] == page.loads
    assert "script" not in page.tags
    for data in ("ELIGIBLE", "2027-01-06", "3 requests", model, idle, "1 of 2 known models", "gpt-6-luna"):
        assert data in page.text
    assert [path] == list(tmp_path.glob("*.*html*"))

    data = json.loads(run("report", "--json", "--refresh").stdout)
    by_id = {model_row["record"]["id"]: model_row for model_row in data["models"]}
    assert (3, True) == (by_id[model]["requests"], by_id[model]["in_use"])
    assert 1 == len(by_id[model]["projects"])
    assert (0, False) == (by_id[idle]["requests"], by_id[idle]["in_use"])
    assert {model: 3} == {name: sum(counts) for name, counts in data["requests"].items()}


def test_report_without_refresh_asks_nothing(run, ask, model, sim, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert "## All models, by their end\n\nNo model is known.\n" in run("report").stdout
    ask(model)
    sim.clear_calls()
    result = run("report")
    assert 0 == result.exit_code
    assert () == sim.calls
    assert f"| {model} | 2027-01-14 |" in result.stdout.replace("\\", "")
    assert "finetune-guard report --refresh" in result.stdout
    assert not [line for line in result.stdout.splitlines() if line.endswith(" ")]


def test_report_escapes_names_from_outside(run, ask, model):
    ask(model)
    connection = connect()
    eligibility = connection.guard.check()
    day, history = eligibility.checked_at.date(), connection.guard.history()
    inventory = build_inventory(Listing(), history, connection.dates(), eligibility.checked_at)
    usage = [ModelRequests(day=day, model=model, project=HOSTILE, requests=7)]
    result = build_report(eligibility, inventory, history, usage, asked=True)
    page = Page(as_html(result, (), HOSTILE))
    connection.client.close()
    assert (2, False) == (page.text.count(HOSTILE), "script" in page.tags)
    written = as_markdown(result, (), HOSTILE)
    assert "<script" not in written.replace("\\<", "")
    assert "](http" not in written.replace("\\]", "")
