"""``finetune-guard metrics``, read by Prometheus' own parser."""

from __future__ import annotations

import os
from datetime import timedelta

import pytest

from finetune_guard.domain.facts import Activity, Inference
from finetune_guard.simulator import Fault
from finetune_guard.stores.disk.store import DiskStore

parser = pytest.importorskip("prometheus_client.parser")
ODD = 'ft:gpt-4o-mini-2024-07-18:ac"me\\n:bot:x'


def samples(text):
    """Each sample by its name and the labels beside the organization's."""
    samples_by_label = {}
    for family in parser.text_string_to_metric_families(text):
        assert family.documentation.endswith(".")
        for sample in family.samples:
            labels = dict(sample.labels)
            assert "acme-cli" == labels.pop("organization")
            samples_by_label[(sample.name.removeprefix("finetune_guard_"), *labels.values())] = sample.value
    return samples_by_label


def test_metrics_of_window_verdict_inferences_and_models(run, ask, model, clock, sim, tmp_path):
    ask(model)
    at = clock()
    store = DiskStore(tmp_path / "history")
    inference = Inference(organization="acme-cli", model=ODD, at=at - timedelta(days=1))
    store.record("acme-cli", [Activity(inference=inference, counts={inference.at.date(): 4})])
    store.close()
    clock.advance(timedelta(days=10))
    assert {
        ("verdict", "eligible"): 1,
        ("verdict", "ineligible"): 0,
        ("verdict", "unknown"): 0,
        ("history_readable",): 1,
        ("window_remaining_seconds",): 50 * 86400,
        ("jobs_remaining_seconds",): 50 * 86400,
        ("last_inference_timestamp_seconds",): at.timestamp(),
        ("keep_alive_failing",): 0,
        ("inferences_total", "observed"): 5,
        ("model_remaining_days", model): 154,
        ("model_remaining_days", ODD): 154,
    } == samples(run("metrics").stdout)
    sim.fault(Fault(path="/v1/chat/completions", status=404, times=None))
    clock.advance(timedelta(days=160))
    assert 1 == run("keep-alive", "--force").exit_code
    later = samples(run("metrics").stdout)
    assert (1, 1) == (later["keep_alive_failing",], later["verdict", "ineligible"])
    assert not [name for name in later if name[0] == "model_remaining_days"]


def test_metrics_file_is_replaced_atomically(run, ask, model, tmp_path):
    ask(model)
    folder = tmp_path / "collected"
    folder.mkdir()
    for _ in range(2):
        written = run("metrics", "--textfile", str(folder / "guard.prom"))
        assert (0, "") == (written.exit_code, written.output)
    assert [folder / "guard.prom"] == list(folder.iterdir())
    assert 1 == samples((folder / "guard.prom").read_text())["verdict", "eligible"]


@pytest.mark.skipif(os.name != "posix", reason="needs named pipes")
def test_metrics_into_devices_pipes_and_links_replace_none(run, ask, model, tmp_path):
    ask(model)
    pipe, link, file = tmp_path / "pipe", tmp_path / "link", tmp_path / "guard.prom"
    os.mkfifo(pipe)
    link.symlink_to(file)
    reader = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    try:
        assert (0, 0) == tuple(run("metrics", "--textfile", str(path)).exit_code for path in (pipe, link))
        assert (True, True) == (pipe.is_fifo(), link.is_symlink())
        assert 1 == samples(os.read(reader, 65_536).decode())["verdict", "eligible"]
    finally:
        os.close(reader)
    assert 1 == samples(file.read_text())["verdict", "eligible"]


def test_unknown_value_has_no_sample(run, broken_store):
    text = run("metrics").stdout
    names = {
        sample.name.removeprefix("finetune_guard_"): sample.value
        for family in parser.text_string_to_metric_families(text)
        for sample in family.samples
        if sample.labels.get("verdict", "unknown") == "unknown"
    }
    assert {"verdict": 1, "history_readable": 0} == names
