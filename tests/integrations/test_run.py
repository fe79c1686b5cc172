"""Unmodified programs with third-party frameworks under ``finetune-guard run``."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from datetime import timedelta

import pytest

import finetune_guard
from tests.support.constants import BASE, TRAINING_DATA

pytestmark = [pytest.mark.matrix, pytest.mark.slow]

TRAIN = """
    file = client.files.create(file=open(data, "rb"), purpose="fine-tune")
    client.fine_tuning.jobs.create(model=train, training_file=file.id)
"""
LANGCHAIN = f"""
import sys
from langchain_openai import ChatOpenAI
model, data, train = sys.argv[1:]
chat = ChatOpenAI(model=model)
if not train:
    assert chat.invoke("hello").text
    assert [part.text for part in chat.stream("hello")]
else:
    client = chat.root_client{TRAIN}"""
LLAMA_INDEX = f"""
import asyncio, sys
from llama_index.llms.openai import OpenAI
model, data, train = sys.argv[1:]
llm = OpenAI(model=model)
if not train:
    assert llm.complete("hello").text
    assert asyncio.run(llm.acomplete("hello")).text
else:
    client = llm._get_client(){TRAIN}"""
LITELLM = """
import asyncio, sys
import litellm
model, data, train = sys.argv[1:]
asked = {"model": f"openai/{model}", "messages": [{"role": "user", "content": "hello"}]}
if not train:
    assert litellm.completion(**asked).choices
    assert asyncio.run(litellm.acompletion(**asked)).choices
else:
    file = litellm.create_file(file=open(data, "rb"), purpose="fine-tune", custom_llm_provider="openai")
    litellm.create_fine_tuning_job(model=train, training_file=file.id, custom_llm_provider="openai")
"""


@pytest.mark.parametrize(
    ("needed", "program"),
    [("langchain-openai", LANGCHAIN), ("llama-index-llms-openai", LLAMA_INDEX), ("litellm", LITELLM)],
    ids=["langchain", "llama-index", "litellm"],
)
@pytest.mark.filterwarnings("ignore")  # what frameworks warn of is theirs
def test_framework_under_run_is_recorded_stopped_and_kept_alive(
    needed, program, finetune_guard_simulator, finetune_guard_clock, tmp_path
):
    if not list(importlib.metadata.distributions(name=needed)):
        pytest.skip(f"{needed} is not installed")
    simulator = finetune_guard_simulator
    model = simulator.add_model()
    script, data = tmp_path / "program.py", tmp_path / "data.jsonl"
    script.write_text(program)
    data.write_bytes(TRAINING_DATA * 10)
    own_settings = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "OPENAI_API_BASE": simulator.base_url}

    def run(train="", **environment):
        simulator.clear_calls()
        command = [sys.executable, "-m", "finetune_guard", "run", str(script), model, str(data), train]
        options = {"env": {**os.environ, **own_settings, **environment}, "capture_output": True, "text": True}
        done = subprocess.run(command, timeout=300, check=False, **options)
        return done, [call.path.removeprefix("/v1") for call in simulator.calls if call.method == "POST"]

    done, posts = run()
    assert (0, ["/chat/completions"] * 2) == (done.returncode, posts), done.stderr
    with finetune_guard.OpenAI() as client:
        (counts,) = client.guard.history().daily.values()
    assert 2 == sum(counts.values())

    finetune_guard_clock.advance(timedelta(days=61))
    done, posts = run(train=BASE)
    assert (1, []) == (done.returncode, posts), done.stderr
    assert "InferenceWindowExpiredError" in done.stderr

    done, posts = run(train=BASE, FINETUNE_GUARD_KEEP_ALIVE="on")
    assert (0, ["/chat/completions", "/files", "/fine_tuning/jobs"]) == (done.returncode, posts), done.stderr
