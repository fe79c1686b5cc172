"""The cost of importing the package, and that it changes nothing in the SDK."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

COSTLY = ("diskcache", "pydantic_settings", "rich", "sqlite3", "starlette", "tenacity", "typer", "uvicorn")


def run(program):
    """Run a program in an interpreter of its own and return what it prints, as JSON."""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stderr == ""
    return json.loads(done.stdout)


@pytest.mark.slow
def test_import_loads_nothing_costly():
    loaded = run(
        "import openai, sys, json; before = set(sys.modules); import finetune_guard; "
        "print(json.dumps(sorted({name.partition('.')[0] for name in set(sys.modules) - before})))"
    )
    assert set(loaded).isdisjoint(COSTLY)


@pytest.mark.slow
def test_import_changes_nothing_in_the_sdk():
    names = "[(name, id(value)) for module in (openai, base) for name, value in vars(module).items()]"
    classes = "[(c.__name__, n, id(v)) for c in (openai.OpenAI, openai.AsyncOpenAI, base.SyncAPIClient, "
    classes += (
        "base.AsyncAPIClient) for n, v in vars(c).items() if n not in ('__abstractmethods__', '_abc_impl')]"
    )
    changed = run(
        "import openai, json; from openai import _base_client as base; openai.AzureOpenAI; "
        f"import openai._resource; before = {names} + {classes}; import finetune_guard; "
        f"print(json.dumps([name for name in before if name not in {names} + {classes}]))"
    )
    assert changed == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "program", ["from finetune_guard import *", "from finetune_guard import GuardConfig"]
)
def test_lazily_imported_names_are_found(program):
    assert run(
        f"{program}; import finetune_guard, json; import finetune_guard.config; "
        "late = GuardConfig is finetune_guard.GuardConfig is finetune_guard.config.GuardConfig; "
        "print(json.dumps(late and set(finetune_guard.__all__) <= set(dir(finetune_guard))))"
    )
