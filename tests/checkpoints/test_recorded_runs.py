"""Run folders and sweeps that an earlier version wrote go on as if it had been this one.

`tests/fixtures/recorded_runs` was written by the version before the packages had their present
names: `finished` and `interrupted` are one run, whole and killed within update 6 of 8; of the two
jobs of `sweep` the first failed. Their paths are placeholders.
"""

import json

import pytest
from omegaconf import OmegaConf
from safetensors.torch import load_file

from lora_lightning import load_run
from lora_lightning.export import export
from lora_lightning.runs.folder import RunFolder
from lora_lightning.sweep.__main__ import sweep
from lora_lightning.sweep.record import SweepFolder
from lora_lightning.tracking.csv_tables import read_metrics
from tests.commands import error_of, run_command
from tests.recorded import copy_recorded
from tests.tiny import read_rows


@pytest.fixture
def recorded(tmp_path):
    """A copy of the recorded runs, in which every path is one of this machine."""
    return copy_recorded(tmp_path / "recorded")


def losses(folder):
    rows = read_metrics(folder / "metrics.csv")
    return [{k: v for k, v in row.items() if k == "step" or "loss" in k} for row in rows]


def without_key(run, dotted):
    """Take a key out of a stored config, as a version would have it that did not know the key."""
    for path in (run / ".hydra" / "config.yaml", run / "config.yaml"):
        config = OmegaConf.load(path)
        group, key = dotted.split(".")
        del config[group][key]
        OmegaConf.save(config, path)


def test_a_recorded_run_is_decoded_and_scored_without_a_word_about_names(recorded, caplog):
    run = recorded / "finished"
    run_command("generate", f"run={run}")
    run_command("evaluate", f"run={run}", "protocol.metrics=[bleu]")
    predictions = read_rows(run / "predictions" / "test" / "predictions.jsonl")
    assert [prediction["context"] for prediction in predictions] == [
        row["context"] for row in read_rows(recorded / "data" / "test.jsonl")
    ]
    assert json.loads((run / "evaluation" / "test" / "metrics.json").read_text())["scores"]
    assert "lora_lightning.model" not in caplog.text


def test_a_recorded_run_opens_in_python_and_is_exported(recorded, tmp_path):
    run = recorded / "finished"
    assert len(load_run(run).generate(["name : Eve | type : pub"])) == 1
    export([f"run={run}", "format=peft", f"output={tmp_path / 'adapter'}"])
    assert (tmp_path / "adapter" / "adapter_model.safetensors").is_file()


def test_a_recorded_run_that_was_killed_ends_as_the_whole_one_did(recorded):
    whole, run = recorded / "finished", recorded / "interrupted"
    run_command("train", f"resume={run}")
    assert losses(run) == [pytest.approx(row, abs=1e-6) for row in losses(whole)]
    assert RunFolder.open(run).config.keys() >= RunFolder.open(whole).config.keys()
    expected = load_file(whole / "adapter" / "adapter_model.safetensors")
    found = load_file(run / "adapter" / "adapter_model.safetensors")
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        assert (tensor - expected[name]).abs().max() < 1e-5


def test_a_key_that_a_recorded_run_did_not_have_is_no_alteration(recorded):
    run = recorded / "interrupted"
    without_key(run, "data.bucket_by_length")
    run_command("train", f"resume={run}", "dry_run=true")


def test_a_key_that_a_recorded_run_did_not_have_is_one_where_it_is_given(recorded):
    run = recorded / "interrupted"
    without_key(run, "data.bucket_by_length")
    error = error_of("train", f"resume={run}", "data.bucket_by_length=true")
    assert "data.bucket_by_length absent → True" in error


def test_a_group_of_another_option_brings_keys_that_alter(recorded):
    error = error_of("train", f"resume={recorded / 'interrupted'}", "optimizer=lora_plus")
    assert "optimizer.lr_ratio absent → 16" in error


@pytest.mark.long
def test_a_recorded_sweep_runs_its_failed_job_again(recorded):
    folder = recorded / "sweep"
    before = (folder / "1" / "metrics.csv").read_bytes()
    assert sweep(["resume", str(folder)]) == 0
    jobs = SweepFolder.open(folder).jobs()
    assert [job.status for job in jobs] == ["finished", "finished"]
    assert losses(folder / "0") == [
        pytest.approx(row, abs=1e-6) for row in losses(recorded / "finished")
    ]
    assert (folder / "1" / "metrics.csv").read_bytes() == before
