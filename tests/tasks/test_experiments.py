"""Every experiment runs, with the bundled base and sample in its model's and data's place."""

import pytest

from lora_lightning.tracking.csv_tables import read_metrics
from tests.commands import run_command
from tests.goldens import ROOT
from tests.tiny import TRAINING

FOLDER = ROOT / "configs" / "experiment"
EXPERIMENTS = sorted(
    str(path.relative_to(FOLDER).with_suffix("")) for path in FOLDER.rglob("*.yaml")
)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_an_experiment_trains_two_steps(experiment, tmp_path):
    data = experiment.split("/")[0] if "/" in experiment else "e2e"
    run_command(
        "train", f"experiment={experiment}", *TRAINING, "model=gpt2_tiny", f"data=sample_{data}",
        "trainer.max_steps=2", f"output_dir={tmp_path / 'run'}",
    )  # fmt: skip
    rows = read_metrics(tmp_path / "run" / "metrics.csv")
    assert [row["step"] for row in rows if "train/loss" in row] == [1, 2]
    assert (tmp_path / "run" / "adapter").is_dir()
    assert (tmp_path / "run" / "adapter_best").is_dir()


@pytest.mark.parametrize("logger", ["tensorboard", "wandb", "none"])
def test_a_logger_runs_without_a_network(logger, tmp_path):
    offline = ["logger.wandb.offline=true"] if logger == "wandb" else []
    run_command("train", *TRAINING, f"logger={logger}", *offline, f"output_dir={tmp_path / 'run'}")
    assert (tmp_path / "run" / "metrics.csv").is_file()
    if logger != "none":
        assert (tmp_path / "run" / logger).is_dir()


def test_full_fine_tuning_is_decoded_with_what_it_saved(tmp_path):
    run = tmp_path / "run"
    run_command("train", *TRAINING, "method=full", "optimizer.lr=1e-4", f"output_dir={run}")
    run_command("generate", f"run={run}", "trainer=cpu", "generation=greedy", "data.limit_test=1")
    assert (run / "predictions" / "test" / "predictions.jsonl").is_file()
