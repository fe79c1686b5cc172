from __future__ import annotations

import csv
import io
import os
import re
from datetime import date, datetime, timezone

import pytest

from finetune_guard import Inference, Inventory, ModelRecord, Shutdown
from finetune_guard.cli.model_sheet import COLUMNS, sheet
from finetune_guard.testing import Fault
from tests.cli.real_terminal import Terminal
from tests.support.constants import BASE

GONE_BASE = "gpt-3.5-turbo-0125"  # ends on 2026-10-23
NOVEMBER = datetime(2026, 11, 22, 9, tzinfo=timezone.utc)


def rows(output):
    """The pipe's rows as dictionaries, by the names of their columns."""
    head, *lines = output.splitlines()
    return [dict(zip(head.split(), line.split(), strict=True)) for line in lines]


def test_each_model_is_a_row_with_shutdown_source_and_replacement(run, ask, model, organization, sim):
    checkpoint = sim.add_model(organization, base=f"{model}:ckpt-step-88")
    unknown = sim.add_model(organization, base="ft:gpt-of-another-time:acme::AbCd1234")
    ask(model)
    result = run("models")
    expected = "3 fine-tuned models: 2 end on 2027-01-14 (in 164 days), the end of 1 is unknown.\n"
    expected += "Used in the past 60 days, as far as is known here: 1 of 3.\n"
    assert (0, expected) == (result.exit_code, result.stderr)
    first, second, third = rows(result.stdout)
    in_sheet = next(csv.DictReader(io.StringIO(run("models", "--csv").stdout)))
    assert {name: in_sheet[name] or "-" for name in first} == first
    assert [model, "2027-01-14", "164", "2026-08-03T09:00:00Z", BASE] == list(first.values())[:5]
    expected = {"model": checkpoint, "checkpoint_step": "88", "last_inference_at": "-"}
    assert expected.items() <= second.items()
    assert {"model": unknown, "ends_on": "-", "days_left": "-", "replacement": "-"}.items() <= third.items()


@pytest.mark.parametrize(
    ("arguments", "code", "listed"),
    [
        ("", 0, ["support-bot", "legal", "old"]),
        ("--unused", 0, ["legal", "old"]),
        ("--base gpt-4o-mini", 0, ["support-bot"]),  # what the alias stands for
        ("--base gpt-4o", 0, []),  # and no other model that begins like it
        ("--ending 54d", 5, ["support-bot", "legal"]),  # what has ended can't be saved any more
        ("--ending 52d", 0, []),
        ("--ending 54d --unused --json", 5, ["legal"]),
        ("--ending 54d --unused --csv", 5, ["legal"]),
    ],
)
def test_models_can_be_selected_and_fail_ci(
    run, ask, model, organization, sim, clock, arguments, code, listed
):
    names = {"support-bot": model}
    names["legal"] = sim.add_model(organization, base="gpt-4.1-2025-04-14", suffix="legal")
    names["old"] = sim.add_model(organization, base=GONE_BASE, suffix="old")
    ask(names["old"])
    clock.set(NOVEMBER)
    ask(model)
    result = run("models", *arguments.split())
    shown = [name for name, model_id in names.items() if model_id in result.stdout]
    assert (code, listed) == (result.exit_code, shown)
    if code == 0 and not listed:
        assert ("", "None of 3 known fine-tuned models matches.\n") == (result.stdout, result.stderr)
    if not arguments:  # what ends first stands first; what the key no longer sees is there from the history
        summary = "3 fine-tuned models: 1 has ended, 2 end on 2027-01-14 (in 53 days).\n"
        assert result.stderr.startswith(summary)
        old = {"model": names["old"], "ends_on": "2026-10-23", "days_left": "-30", "visible": "false"}
        assert old.items() <= rows(result.stdout)[0].items()


def test_no_models_is_a_sentence_or_an_empty_sheet(run):
    result = run("models")
    assert (0, "") == (result.exit_code, result.stdout)
    assert "No fine-tuned model is visible to this key or known to the history.\n" == result.stderr
    assert ",".join(COLUMNS) + "\n" == run("models", "--csv").stdout


def test_terminal_groups_models_by_shutdown(run, environment, ask, model, organization, sim):
    legal = sim.add_model(organization, base="gpt-4.1-2025-04-14", suffix="legal")
    environment.setenv("FORCE_COLOR", "1")
    environment.setenv("COLUMNS", "70")
    lines = re.sub(r"\x1b\[[0-9;]*m", "", run("models").stdout).splitlines()
    assert "2027-01-14, in 164 days: 1 fine-tuned model of gpt-4.1-2025-04-14" in lines
    assert f"2027-01-14, in 164 days: 1 fine-tuned model of {BASE}" in lines
    assert f"  {legal}" in lines
    assert f"  {model}" in lines
    assert 2 == lines.count("    created 2026-08-03, last used not known")


def test_incomplete_api_answer_exits_6(says, ask, model, sim):
    ask(model)
    sim.fault(Fault(path="/v1/models", method="GET", status=403, times=None))
    says("models", model, "Incomplete: the API did not answer all that was asked (403)", code=6)
    says("models --json", '"complete":false', "Incomplete", code=6)


def test_dates_that_other_commands_do_not_know_are_noted(says, ask, model, sim):
    ask(model)
    listed = [{"id": name, "object": "model", "shutdown_date": "2027-03-01"} for name in (BASE, model)]
    body = {"object": "list", "data": listed}
    sim.fault(Fault(path="/v1/models", method="GET", status=200, body=body, times=3))
    says("models", "2027-03-01", "other shutdown dates than the other commands show")
    says("status", "2027-01-14", without=["2027-03-01"])
    for command in ("models --refresh", "models", "status"):
        says(command, "2027-03-01", without=["other shutdown dates"])


def test_csv_has_stable_columns(run, ask, model):
    ask(model)
    columns = "model,base,checkpoint_step,created_at,last_inference_at,last_inference_source,"
    columns += "ends_on,days_left,date_source,date_as_of,"
    columns += "replacement,replacement_can_be_fine_tuned,visible,other_dates"
    row = f"{model},{BASE},,2026-08-03T09:00:00Z,2026-08-03T09:00:00Z,observed,2027-01-14,164,"
    row += "base,2026-08-03,gpt-6-luna,false,true,"
    assert [columns, row] == run("models", "--csv").stdout.splitlines()


@pytest.mark.parametrize("begins", ["=", "-"])
def test_csv_escapes_formulas(begins):
    record = ModelRecord(
        id=f'{begins}HYPERLINK("http://example"):ft-x',
        base=f"{begins}a,b",
        shutdown=Shutdown(model="x", day=date(2026, 1, 1), source="table", as_of=date(2026, 1, 1)),
        days_left=-5,
        last_inference=Inference(organization="o", model="x", at=NOVEMBER),
        visible=True,
    )
    text = sheet(Inventory(models=(record,), as_of=NOVEMBER, complete=True))
    [row] = csv.DictReader(io.StringIO(text))
    assert f"'{record.id}" == row["model"]
    assert f"'{begins}a,b" == row["base"]
    assert "-5" == row["days_left"]


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX terminals")
@pytest.mark.parametrize(("number", "paged"), [(3, False), (60, True)])
def test_long_list_is_paged_in_a_terminal(start, sim, organization, tmp_path, number, paged):
    for i in range(number):
        sim.add_model(organization, base=f"ft:{BASE}:acme:many:{i:08d}")
    got = tmp_path / "got-by-the-pager"
    environment = {**os.environ, "TERM": "xterm-256color", "PAGER": f"cat > '{got}'"}
    environment.pop("MANPAGER", None)
    terminal = Terminal(columns=100)
    process = start("models", stdin=terminal.stream, stdout=terminal.stream, env=environment)
    output = terminal.read()
    assert 0 == process.wait(timeout=300)
    assert paged == got.exists()
    shown = got.read_text(encoding="utf-8") if paged else output
    assert number == shown.count(":acme:many:")
