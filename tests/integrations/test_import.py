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
def test_import_brings_nothing_costly():
    """The import takes little more time than the SDK's own: what is used later is imported later."""
    loaded = run(
        "import openai, sys, json; before = set(sys.modules); import finetune_guard; "
        "print(json.dumps(sorted({name.partition('.')[0] for name in set(sys.modules) - before})))"
    )
    assert set(loaded).isdisjoint(COSTLY)


@pytest.mark.slow
def test_import_leaves_the_sdk_as_it_was():
    """No class, function or module-level setting of the SDK changes by importing the package."""
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
def test_names_that_come_late_are_there_all_the_same(program):
    """Every public name can be imported, found by ``dir`` and is one and the same object each time."""
    assert run(
        f"{program}; import finetune_guard, json; import finetune_guard.config; "
        "late = GuardConfig is finetune_guard.GuardConfig is finetune_guard.config.GuardConfig; "
        "print(json.dumps(late and set(finetune_guard.__all__) <= set(dir(finetune_guard))))"
    )
