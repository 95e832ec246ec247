"""`debug=` and the machine's own settings do from the command line what they say."""

import json
import shutil

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from lora_lightning.config import resolvers
from lora_lightning.config.rules import check_config
from lora_lightning.tracking.csv_tables import read_metrics
from tests.commands import run_command
from tests.goldens import ROOT
from tests.tiny import read_rows


def losses(run):
    return [row["train/loss"] for row in read_metrics(run / "metrics.csv") if "train/loss" in row]


def test_fast_runs_the_whole_chain_over_a_few_rows(tmp_path):
    run = tmp_path / "run"
    run_command("train", "debug=fast", "trainer=cpu", "then=[generate,evaluate]",
                "protocol.metrics=[bleu]", f"output_dir={run}")  # fmt: skip
    assert len(losses(run)) == 3
    assert len(read_rows(run / "predictions" / "test" / "predictions.jsonl")) == 3
    assert (run / "evaluation" / "test" / "metrics.json").is_file()


def test_overfit_brings_the_loss_near_0(tmp_path):
    run = tmp_path / "run"
    run_command("train", "debug=overfit", "trainer=cpu", f"output_dir={run}")
    assert losses(run)[0] > 2
    assert losses(run)[-1] < 0.15  # what dropout leaves


def test_profiler_leaves_a_trace_of_operations_in_the_run_folder(tmp_path):
    run = tmp_path / "run"
    run_command("train", "debug=profiler", "trainer=cpu", f"output_dir={run}")
    [trace] = (run / "profile").glob("*.json")
    names = {event.get("name") for event in json.loads(trace.read_text())["traceEvents"]}
    assert "aten::addmm" in names


def test_the_simple_profiler_times_lightnings_hooks(tmp_path):
    run = tmp_path / "run"
    run_command("train", "debug=fast", "trainer=cpu", "trainer.profiler=simple",
                f"output_dir={run}")  # fmt: skip
    texts = [path.read_text() for path in (run / "profile").iterdir()]
    assert any("training_step" in text for text in texts)


@pytest.mark.parametrize("command", ["train", "generate", "evaluate"])
def test_the_machines_own_settings_are_read_where_they_exist(command, tmp_path):
    configs = shutil.copytree(ROOT / "configs", tmp_path / "configs")
    (configs / "local").mkdir(exist_ok=True)
    (configs / "local" / "default.yaml").write_text(
        "# @package _global_\npaths:\n  output_dir: /elsewhere\ntrainer:\n  accelerator: cpu\n"
    )
    resolvers.register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(configs), version_base="1.3"):
        config = compose(command, ["output_dir=unused"])
    check_config(config)
    assert config.paths.output_dir == "/elsewhere"
    assert config.trainer.accelerator == "cpu"
