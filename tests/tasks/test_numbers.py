"""What is no number, and rows without a label: said, kept out of comparisons, never a result."""

import json
import math

import pytest
import torch
from safetensors.torch import load_file, save_file

from lora_lightning.sweep.__main__ import sweep
from lora_lightning.tracking.csv_tables import read_metrics
from lora_lightning.training.validation import LABELLED_SHARE, ValidationSums, objectives
from tests.commands import error_of, run_command
from tests.tiny import write_rows

SHORT = {"context": "name : Vaults | food : Chinese", "completion": "Vaults serves Chinese food ."}
LONG = SHORT | {"context": " | ".join([SHORT["context"]] * 20)}
SETTINGS = ("trainer=cpu", "trainer.max_steps=1", "data=jsonl", "data.batch_size=2",
            "data.max_length=64", "data.cache_dir=null", "data.valid_batch_size=1")  # fmt: skip
# Finite losses in training, and weights beyond all numbers after the second update.
DIVERGING = ("optimizer.lr=1000", "optimizer.weight_decay=1000", "trainer.max_steps=2")


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Overrides of data whose validation is half, or wholly, of contexts that are too long."""
    folder = tmp_path_factory.mktemp("rows")
    train = write_rows(folder / "train.jsonl", [SHORT] * 4)
    halves = write_rows(folder / "halves.jsonl", [SHORT, LONG] * 2)
    longs = write_rows(folder / "longs.jsonl", [LONG] * 2)
    return {
        name: (f"data.train={train}", f"data.valid={valid}")
        for name, valid in (("short", train), ("halves", halves), ("longs", longs))
    }


def test_validation_rows_without_a_label_are_said_and_left_out_of_what_a_sweep_compares(
    rows, tmp_path
):
    run_command("train", *SETTINGS, *rows["halves"], f"output_dir={tmp_path / 'halves'}")
    assert "2 of 4 validation rows" in (tmp_path / "halves" / "train.log").read_text()
    run_command("train", *SETTINGS, *rows["short"], f"output_dir={tmp_path / 'short'}")
    halves, short = (
        read_metrics(tmp_path / name / "metrics.csv")[-1] for name in ("halves", "short")
    )
    assert halves["val/loss"] == pytest.approx(short["val/loss"] / 2)  # the reference's average
    assert halves["val/loss_per_token"] == pytest.approx(short["val/loss_per_token"])
    objective, whole = (
        json.loads((tmp_path / name / "result.json").read_text())["value"]
        for name in ("halves", "short")
    )
    assert objective == pytest.approx(whole)
    assert whole == short["val/loss"]


def test_a_validation_without_any_label_is_an_error_before_training(rows, tmp_path):
    error = error_of("train", *SETTINGS, *rows["longs"], f"output_dir={tmp_path / 'run'}")
    assert "none of the 2 validation rows has a token of its completion left" in error
    assert "data.max_length=64" in error
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_an_objective_is_the_metric_itself_where_every_batch_has_a_label():
    latest = ValidationSums(3, 3, 4.5, 10, 8).metrics() | {LABELLED_SHARE: 1.0, "train/loss": 1}
    assert objectives(latest) == {k: v for k, v in latest.items() if k.startswith("val/")}
    half = objectives(latest | {LABELLED_SHARE: 0.5})
    assert half["val/loss"] == 2 * latest["val/loss"]
    assert half["val/perplexity"] == pytest.approx(math.exp(3))
    assert half["val/loss_per_token"] == latest["val/loss_per_token"]


def test_numbers_that_are_none_at_validation_fail_the_run_and_its_json_says_why(rows, tmp_path):
    error = error_of("train", *SETTINGS, *rows["short"], *DIVERGING,
                     f"output_dir={tmp_path / 'run'}")  # fmt: skip
    assert "validation after update 2: val/loss is nan" in error
    assert not (tmp_path / "run" / "adapter").exists()

    def refuse(constant):
        raise AssertionError(constant)

    result = json.loads((tmp_path / "run" / "result.json").read_text(), parse_constant=refuse)
    assert result["value"] is None
    assert "val/loss is nan" in result["reason"]


def test_a_study_and_its_figures_go_on_past_a_trial_without_numbers(rows, tmp_path):
    folder = tmp_path / "sweep"
    said = error_of(
        "train", *SETTINGS, *rows["short"], "hparams_search=optuna", f"output_dir={folder}",
        "hydra.sweeper.n_trials=2", "hydra.sweeper.storage=null", "hydra.sweeper.sampler.seed=0",
        *DIVERGING[1:], "hydra.sweeper.params={optimizer.lr: 'choice(1000,1e-3)'}",
    )  # fmt: skip
    values = [json.loads(path.read_text())["objective"] for path in folder.glob("*/job.json")]
    assert "1 of 2 jobs did not finish: 0 (failed)" in said
    assert None in values
    assert any(values)
    # As versions before left it: a number that is none, in JSON that is none.
    [first, *_] = folder.glob("*/job.json")
    content = json.loads(first.read_text()) | {"status": "finished", "objective": math.nan}
    first.write_text(json.dumps(content))
    sweep(["plot", str(folder)])
    assert list(folder.rglob("objective_over_*.png"))


def test_an_adapter_with_such_numbers_is_not_decoded(rows, tmp_path):
    run = tmp_path / "run"
    run_command("train", *SETTINGS, *rows["short"], f"output_dir={run}")
    file = run / "adapter" / "adapter_model.safetensors"
    tensors = {name: t.masked_fill(t != 0, torch.inf) for name, t in load_file(file).items()}
    save_file(tensors, file)
    assert "holds NaN or infinity" in error_of("generate", f"run={run}", "text=x")
