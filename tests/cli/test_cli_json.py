from __future__ import annotations

from datetime import timedelta

import pytest

import finetune_guard


@pytest.mark.parametrize(
    ("line", "call"),
    [
        ("check", lambda guard: guard.check()),
        ("history", lambda guard: guard.history()),
        ("models", lambda guard: guard.models()),
        ("keep-alive --dry-run", lambda guard: guard.plan_keep_alive()),
        ("keep-alive", lambda guard: guard.keep_alive()),
        ("sync", lambda guard: guard.sync()),
    ],
)
def test_json_is_what_the_guard_returns(run, admin, ask, model, clock, line, call):
    ask(model)
    clock.advance(timedelta(minutes=1))
    run("sync")
    result = run(*line.split(), "--json")
    with finetune_guard.OpenAI() as client:
        expected = call(client.guard)
    assert (0, "") == (result.exit_code, result.stderr)
    assert expected == type(expected).model_validate_json(result.stdout)
