from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

from finetune_guard import History, Source


def test_each_model_with_its_latest_inference(run, ask, model, organization, clock, sim):
    """One line a model: the id, the latest inference, how it came to be known, when the model ends."""
    other = sim.add_model(organization, suffix="other")
    ask(model)
    clock.advance(timedelta(days=3))
    ask(other)
    lines = run("history").stdout.splitlines()
    assert "Organization: acme-cli" == lines[0]
    assert ["Model", "Latest inference", "Source", "Shutdown"] == re.split("  +", lines[2])
    assert [other, "2026-08-06 09:00 UTC", "observed", "2027-01-14"] == re.split("  +", lines[3])
    assert model == lines[4].split("  ")[0]


def test_the_days_are_counted(run, ask, model, clock):
    """The bars are those of the past 60 days, and the totals are told in numbers."""
    for _ in range(3):
        ask(model)
    clock.advance(timedelta(days=2))
    ask(model)
    run("keep-alive", "--force")
    output = run("history").stdout
    bars = next(line for line in output.splitlines() if set(line) <= set("·▁▂▃▄▅▆▇█") and len(line) == 60)
    assert "█·" == bars[-3:-1]
    assert bars[-1] in "▅▆"
    assert "2026-06-07 to 2026-08-05" in output
    assert "Most on one day: 3. On these days: 5. Ever: 5 (4 observed, 1 keep_alive)." in output


def test_what_was_seen_twice_counts_once(run, ask, model, clock, admin):
    """An inference that the client saw and the usage tells of too is one, and the line says why."""
    ask(model)
    clock.advance(timedelta(days=2))
    run("sync")
    assert "Ever: 1 (1 observed, 1 usage_api; usage_api counts the others' inferences too)." in " ".join(
        run("history").stdout.split()
    )


def test_an_empty_history_is_said_in_words(run, tmp_path):
    """Nothing known is a sentence and the place that was looked in; exit 0, and no folder is made."""
    result = run("history")
    assert 0 == result.exit_code
    assert result.stdout.startswith("No inference on a fine-tuned model is known")
    assert str(tmp_path / "history") in result.stdout
    assert not (tmp_path / "history").exists()


def test_a_trace_of_fine_tuning_is_told(run, model):
    """What a refresh has found out about earlier fine-tuning is part of the history."""
    run("check", "--refresh")
    assert "It has fine-tuned before" in run("history").stdout


def test_no_trace_of_fine_tuning_is_told(run, environment, sim):
    """That a search found nothing is told with its day."""
    sim.add_organization(slug="new", api_key="sk-of-a-new-organization")
    environment.setenv("OPENAI_API_KEY", "sk-of-a-new-organization")
    run("check", "--refresh")
    assert "On 2026-08-03 09:00 UTC the API showed no earlier fine-tuning." in run("history").stdout


def test_json_is_the_history(run, ask, model):
    """Programs read the same object that `client.guard.history()` returns."""
    ask(model)
    history = History.model_validate_json(run("history", "--json").stdout)
    assert "acme-cli" == history.organization
    assert [model] == list(history.models)
    assert {Source.OBSERVED: 1} == history.daily[datetime(2026, 8, 3, tzinfo=timezone.utc).date()]
