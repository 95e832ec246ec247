"""`debug=` and the machine's own settings do from the command line what they say."""

import json
import shutil

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from lora_lightning.config import resolvers
from lora_lightning.config.rules import check_config
from lora_lightning.tasks.result_table import overfit_verdict
from lora_lightning.tracking.csv_tables import read_metrics
from tests.commands import run_command
from tests.goldens import ROOT
from tests.tiny import read_rows


def losses(run):
    return [row["train/loss"] for row in read_metrics(run / "metrics.csv") if "train/loss" in row]


def test_fast_runs_the_whole_chain_over_a_few_rows_and_says_that_its_scores_are_partial(
    tmp_path, capsys
):
    run = tmp_path / "run"
    run_command("train", "debug=fast", "trainer=cpu", "then=[generate,evaluate]",
                "protocol.metrics=[bleu]", f"output_dir={run}")  # fmt: skip
    assert len(losses(run)) == 3
    assert len(read_rows(run / "predictions" / "test" / "predictions.jsonl")) == 3
    metrics = json.loads((run / "evaluation" / "test" / "metrics.json").read_text())
    assert metrics["partial"] == "the first 3 contexts of the test set (data.limit_test)"
    table, result = capsys.readouterr().out.split("result\n")
    assert f"{metrics['scores']['bleu']:.6f} (partial)" in table
    assert "paper" not in table
    assert f"{metrics['scores']['bleu']:.4f} (partial)" in result
    assert "partial: trainer.limit_val_batches=2" in result
    run_command("evaluate", f"run={run}", "data.limit_test=3", "protocol.metrics=[bleu]",
                "overwrite=true", "--json")  # fmt: skip
    assert json.loads(capsys.readouterr().out) == metrics | {"paper": {}, "published": []}


@pytest.mark.long
def test_overfit_brings_the_loss_near_0(tmp_path):
    run = tmp_path / "run"
    run_command("train", "debug=overfit", "trainer=cpu", f"output_dir={run}")
    assert losses(run)[0] > 2
    assert losses(run)[-1] < 0.15  # what dropout leaves
    assert "overfit       passed: train/loss" in (run / "train.log").read_text()


def test_an_overfit_that_did_not_come_near_0_is_said_with_what_to_do():
    rows = [{"step": step, "train/loss": 2.0} for step in (1.0, 10.0)]
    verdict = overfit_verdict(rows)
    assert verdict.startswith("FAILED: train/loss 2.0000 → 2.0000")
    assert "optimizer.lr" in verdict
    assert overfit_verdict([]).startswith("no verdict")


def test_profiler_leaves_a_trace_of_operations_in_the_run_folder(tmp_path):
    run = tmp_path / "run"
    run_command("train", "debug=profiler", "trainer=cpu", f"output_dir={run}")
    [trace] = (run / "profile").glob("*.json")
    names = {event.get("name") for event in json.loads(trace.read_text())["traceEvents"]}
    assert "aten::addmm" in names
    said = (run / "train.log").read_text()
    assert f"profile       {trace}: open it at https://ui.perfetto.dev" in said


def test_the_simple_profiler_times_lightnings_hooks(tmp_path):
    run = tmp_path / "run"
    run_command("train", "debug=fast", "trainer=cpu", "trainer.profiler=simple",
                f"output_dir={run}")  # fmt: skip
    texts = [path.read_text() for path in (run / "profile").iterdir()]
    assert any("training_step" in text for text in texts)
    assert "a table of times" in (run / "train.log").read_text()


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
