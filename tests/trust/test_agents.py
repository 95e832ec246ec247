"""A W&B agent's arguments come from a server: they choose values, not code."""

import pytest

from tests.commands import error_of, run_command
from tests.tiny import TRAINING
from tests.trust.test_sweep_folders import NUMBERS, attacks


@pytest.mark.parametrize("number", NUMBERS)
def test_an_argument_that_builds_loads_or_starts_something_is_refused(
    tmp_path, marker, monkeypatch, number
):
    monkeypatch.setenv("WANDB_SWEEP_ID", "ab12cd34")
    attack = attacks(marker)[number]
    error = error_of("train", *TRAINING, f"output_dir={tmp_path / 'run'}", attack)
    assert "the W&B agent's arguments" in error
    assert not (tmp_path / "run").exists()


def test_the_arguments_of_a_resumed_agent_are_checked_too(tmp_path):
    error = error_of("train", "wandb_version=1", "method._target_=os.getcwd",
                     f"output_dir={tmp_path / 'run'}")  # fmt: skip
    assert "method._target_=os.getcwd" in error


def test_what_an_agent_swept_until_now_it_sweeps(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_SWEEP_ID", "ab12cd34")
    run_command("train", *TRAINING, "method.rank=2", "optimizer.lr=0.0123", "seed=1",
                "experiment=quickstart", "callbacks=early_stopping",
                f"output_dir={tmp_path / 'run'}")  # fmt: skip
    assert (tmp_path / "run" / "result.json").is_file()
