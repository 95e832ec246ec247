"""Two ranks learn what one learns from twice the micro-batches an update, whatever is trained."""

import pytest
import torch
from safetensors.torch import load_file

from lora_lightning.tracking.csv_tables import read_metrics
from tests.commands import run_command, run_process
from tests.methods.options import LINEAR, OPTIONS, overrides_of

SETTINGS = (
    "data.shuffle=false", "data.batch_size=2", "trainer.max_steps=3", "trainer.limit_val_batches=1",
    "trainer.log_every_n_steps=1", "optimizer.lr=1e-2", "scheduler=constant",
)  # fmt: skip
WITHOUT_DROPOUT = {
    **dict.fromkeys(("lora", "lora_all_linear", "rslora", "dora"), "method.dropout=0"),
    "adalora": "method.config.lora_dropout=0",
    "gralora": "method.config.gralora_dropout=0",
}
NOISY = {"pvera"}
"""Each rank draws noise of its own."""
EVERY = [pytest.param(name, marks=() if name == "adalora" else pytest.mark.long)
         for name in (*OPTIONS, *LINEAR)]  # fmt: skip


def losses_of(run):
    rows = read_metrics(run / "metrics.csv")
    return [row["train/loss"] for row in rows if "train/loss" in row]


def learnt_in(file):
    """The tensors of an adapter, without what a layer counts: its own rank's micro-batches."""
    return {name: t for name, t in load_file(file).items() if t.is_floating_point()}


@pytest.mark.parametrize("name", EVERY)
def test_two_ranks_equal_one_with_their_micro_batches(name, tmp_path):
    settings = [*SETTINGS, *overrides_of(name, tmp_path / "user")]
    settings += [WITHOUT_DROPOUT[name]] if name in WITHOUT_DROPOUT else []
    two, one = tmp_path / "two", tmp_path / "one"
    run_process("train.py", *settings, "trainer=ddp_cpu", f"output_dir={two}")
    run_command("train", *settings, "trainer=cpu", "trainer.accumulate_grad_batches=2",
                f"output_dir={one}")  # fmt: skip
    tolerance = {"atol": 0.1, "rtol": 0.1} if name in NOISY else {"atol": 1e-5, "rtol": 1e-4}
    losses = [torch.tensor(losses_of(run)) for run in (two, one)]
    torch.testing.assert_close(*losses, **tolerance)
    for path in (one / "adapter").glob("*.safetensors"):
        found, expected = learnt_in(two / "adapter" / path.name), learnt_in(path)
        torch.testing.assert_close(found, expected, **tolerance)
    for path in (one / "adapter").glob("adapter_config.json"):  # AdaLoRA's ranks
        assert (two / "adapter" / path.name).read_bytes() == path.read_bytes()


def test_a_tuner_of_linear_layers_is_built_in_a_process_that_has_imported_no_more_than_it_needs(
    tmp_path,
):
    settings = overrides_of("linear BOFT", tmp_path / "user")
    run_process("train.py", *settings, "trainer=cpu", "dry_run=true")
