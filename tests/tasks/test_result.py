"""A run ends with what it came to, in its terminal and its log alike."""

import re

import pytest

from lora_lightning.tasks.result_table import loss_lines
from lora_lightning.tracking.csv_tables import read_losses
from lora_lightning.tracking.loss_figure import best_validation, losses_figure
from tests.commands import run_command
from tests.tiny import TRAINING


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    run_command("train", *TRAINING, "trainer.val_check_interval=1", f"output_dir={folder}")
    return folder


def test_terminal_and_log_end_with_the_same_table(run, capsys):
    run_command("train", f"resume={run}")  # nothing is left: the table comes from the folder
    said, log = capsys.readouterr().out, (run / "train.log").read_text()
    table = re.search(r"result\n(  .*\n)+", said)
    assert table is not None
    assert log.count(table[0]) == 2, "of the run, and of the resumed one"
    for name in ("val/loss", "train/loss", "updates", "time", "tokens/s", "adapter", "picture"):
        assert re.search(rf"^  {name} ", table[0], re.MULTILINE)
    assert str(run / "loss.png") in table[0]


def test_the_table_has_the_last_and_the_best_validation():
    rows = [{"step": step, "val/loss": loss} for step, loss in ((1.0, 2.5), (2.0, 1.5), (3.0, 2.0))]
    said = dict(loss_lines(rows, None))["val/loss"]
    assert said == "last 2.0000, best 1.5000 after update 2"


def test_a_run_without_validation_says_so():
    rows = [{"step": 1.0, "train/loss": 2.0, "train/loss_unsmoothed": 1.5}]
    assert list(loss_lines(rows, None)) == [
        ("val/loss", "none: the run had no validation"),
        ("train/loss", "last 2.0000, without label smoothing 1.5000"),
    ]


def test_the_training_loss_without_smoothing_is_logged_beside_the_smoothed_one(run):
    rows = [row for row in read_losses(run) if "train/loss" in row]
    assert all(row["train/loss"] != row["train/loss_unsmoothed"] for row in rows)


def test_the_figure_names_the_run_and_marks_its_best_point(run):
    rows = read_losses(run)
    [axes] = losses_figure(rows, "data_model/time").axes
    assert axes.get_title() == "data_model/time"
    labels = [line.get_label() for line in axes.lines]
    assert labels[:3] == [
        "train/loss (minimised, with label smoothing)", "train/loss_unsmoothed", "val/loss",
    ]  # fmt: skip
    best = best_validation(rows)
    assert [*axes.lines[3].get_xdata()] == [best["step"]]
    assert f"{best['val/loss']:.4f}" in labels[3]
