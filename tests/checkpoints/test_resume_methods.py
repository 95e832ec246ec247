"""However LoRA begins and is optimized: a crashed run resumed is the run that never crashed.

Every method is resumed by `tests/tasks/test_every_method.py`.
"""

import pytest

from tests.checkpoints.interrupted_runs import assert_same_run, crash, interrupted
from tests.commands import run_command
from tests.tiny import DECODING

SETTINGS = (
    "trainer=cpu", "trainer.max_steps=4", "data.batch_size=2", "trainer.save_every_n_steps=1",
    "trainer.log_every_n_steps=1", "trainer.limit_val_batches=1", "optimizer.lr=1e-2",
    "then=[generate]", *DECODING,
)  # fmt: skip
KINDS = {
    "scaled_adamw, pissa": ("optimizer=scaled_adamw", "method.init=pissa"),
    "lora_fa, orthogonal": ("optimizer=lora_fa", "method.init=orthogonal"),
    "NAdam, prefix_layer": ("optimizer=torch", "optimizer.name=NAdam", "method=prefix_layer"),
}


def predictions(run):
    return (run / "predictions" / "test" / "predictions.jsonl").read_bytes()


@pytest.mark.parametrize("overrides", KINDS.values(), ids=KINDS)
def test_it_goes_on_to_the_same_bits(overrides, tmp_path):
    whole, run = tmp_path / "whole", tmp_path / "run"
    run_command("train", *SETTINGS, *overrides, f"output_dir={whole}")
    interrupted(run, (), 3, crash, *overrides, settings=SETTINGS)
    run_command("train", f"resume={run}")
    assert_same_run(run, whole)
    assert predictions(run) == predictions(whole)
