"""Every logger gets the same metrics; metrics.csv keeps the columns that scripts rely on."""

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lora_lightning.tracking.csv_tables import read_metrics, take_back
from lora_lightning.tracking.metrics_file import COLUMNS, MetricsFile
from tests.commands import run_command
from tests.tiny import TRAINING


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    run_command("train", *TRAINING, "logger=tensorboard", f"output_dir={folder}")
    return folder


def test_tensorboard_has_every_metric_of_both_files_over_updates(run):
    events = EventAccumulator(str(run / "tensorboard")).Reload()
    for name in ("metrics.csv", "diagnostics.csv"):
        rows = read_metrics(run / name)
        for metric in {key for row in rows for key in row} - {"step", "epoch"}:
            expected = {row["step"]: row[metric] for row in rows if metric in row}
            logged = {event.step: event.value for event in events.Scalars(metric)}
            assert logged == pytest.approx(expected, rel=1e-6), metric


def test_metrics_csv_has_its_columns_alone(run):
    header = (run / "metrics.csv").read_text(encoding="utf-8").splitlines()[0]
    assert tuple(header.split(",")) == COLUMNS
    for row in read_metrics(run / "metrics.csv"):
        if "val/loss" in row:
            assert not any(key.startswith("train/") for key in row)
        else:
            assert {"step", "epoch", "train/loss", "train/lr"} <= set(row)


def test_a_validation_writes_no_diagnostics(tmp_path):
    metrics = MetricsFile(tmp_path / "metrics.csv")
    metrics.log_metrics({"epoch": 0, "val/loss": 2.0}, step=1)
    assert not (tmp_path / "diagnostics.csv").exists()


def test_rows_of_updates_that_a_resumed_run_does_again_are_dropped(tmp_path):
    path = tmp_path / "diagnostics.csv"
    path.write_text("step,epoch,a\n1,0,1.0\n2,0,2.0\n3,0,3.0\n3,")
    take_back(path, None, 2)
    assert [row["step"] for row in read_metrics(path)] == [1, 2]
    take_back(tmp_path / "absent.csv", None, 2)


def test_a_run_that_goes_on_keeps_the_columns_of_its_diagnostics(tmp_path):
    for metrics in ({"b": 1.0, "a": 2.0}, {"a": 3.0, "b": 4.0, "later": 5.0}):
        MetricsFile(tmp_path / "metrics.csv").log_metrics({"epoch": 0, **metrics}, step=1)
    assert read_metrics(tmp_path / "diagnostics.csv") == [
        {"step": 1, "epoch": 0, "b": 1, "a": 2}, {"step": 1, "epoch": 0, "b": 4, "a": 3},
    ]  # fmt: skip
