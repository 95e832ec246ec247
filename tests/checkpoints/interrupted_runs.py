"""Runs that end on the way, and what two equal runs have in common."""

from itertools import chain

import pytest
import torch

from lora_lightning.tracking.csv_tables import read_metrics
from lora_lightning.training.module import FineTuning
from tests.commands import run_command

# 9 micro-batches an epoch, so groups of 4 cross its end; 27 in all: 6 updates, and 3 left over.
SETTINGS = (
    "trainer=cpu", "data=jsonl", "data.batch_size=4", "method.dropout=0.2", "optimizer.lr=1e-2",
    "trainer.accumulate_grad_batches=4", "trainer.max_epochs=3", "trainer.val_check_interval=6",
    "trainer.save_every_n_steps=2", "trainer.log_every_n_steps=1", "trainer.limit_val_batches=2",
    "trainer.validate_first=true", "scheduler.per=micro_step", "scheduler.warmup_steps=3",
    "callbacks=early_stopping", "callbacks.early_stopping.patience=9",
)  # fmt: skip


class Crash(Exception):
    """What ends a process without a word: nothing is saved on its way out."""


def record_rows(patch, at=None, happens=None):
    """Record the rows of each micro-batch; let something happen within micro-batch number `at`."""
    seen = []
    step = FineTuning.training_step

    def recording(self, batch, batch_index):
        if self.micro_step + 1 == at:
            happens()
        seen.append(batch.row_ids)
        return step(self, batch, batch_index)

    patch.setattr(FineTuning, "training_step", recording)
    return seen


def crash():
    raise Crash


def interrupted(folder, data, at, happens, *overrides, settings=SETTINGS):
    """Train until something happens within micro-batch number `at`; return the rows seen."""
    with pytest.MonkeyPatch.context() as patch:
        seen = record_rows(patch, at, happens)
        with pytest.raises((Crash, SystemExit)) as raised:
            run_command("train", *settings, *data, f"output_dir={folder}", *overrides)
    return seen, raised.value


def rows_of(folder):
    """The curve, without times."""
    rows = read_metrics(folder / "metrics.csv")
    return [{k: v for k, v in row.items() if "per_second" not in k} for row in rows]


def state_of(folder, name="last.ckpt"):
    """A checkpoint without what is a time, or a size that depends on one."""
    state = torch.load(folder / "checkpoints" / name, weights_only=True)
    for key in ("started", "seconds", "resumed_at", "metrics_bytes", "diagnostics_bytes"):
        del state["callbacks"]["SaveRun"][key]
    of_the_machine = ("per_second", "memory/")
    state["latest"] = {
        k: v for k, v in state["latest"].items() if not any(part in k for part in of_the_machine)
    }
    del state["loops"]  # Lightning's own counts, which nothing of the result hangs on
    return state


def assert_same(first, second):
    if isinstance(first, torch.Tensor):
        assert torch.equal(first, second)
    elif isinstance(first, dict):
        assert first.keys() == second.keys()
        for key in first:
            assert_same(first[key], second[key])
    elif isinstance(first, list | tuple):
        assert len(first) == len(second)
        for pair in zip(first, second, strict=True):
            assert_same(*pair)
    else:
        assert first == second


def assert_same_run(folder, expected):
    assert rows_of(folder) == rows_of(expected)
    names = {path.name for path in (expected / "checkpoints").iterdir()} - {"last-previous.ckpt"}
    for name in sorted(names):
        assert_same(state_of(folder, name), state_of(expected, name))
    names = ("adapter*/*.safetensors", "adapter*/adapter_config.json")  # AdaLoRA's ranks are there
    for path in chain.from_iterable(map(expected.glob, names)):
        assert (folder / path.relative_to(expected)).read_bytes() == path.read_bytes()
    assert (folder / "result.json").read_bytes() == (expected / "result.json").read_bytes()
