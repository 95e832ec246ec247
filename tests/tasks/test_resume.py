"""A run that was interrupted and resumed is the run that was not interrupted, bit for bit."""

import json
import shutil
import signal

import pytest
import torch
from omegaconf import OmegaConf

from lora_lightning.model.metrics_file import read_metrics
from lora_lightning.model.module import FineTuning
from tests.commands import error_of, run_command
from tests.tiny import DECODING, write_rows

# 9 micro-batches an epoch, so groups of 4 cross its end; 27 micro-batches, 6 updates and 3 left over.
SETTINGS = (
    "trainer=cpu", "data=jsonl", "data.batch_size=4", "method.dropout=0.2", "optimizer.lr=1e-2",
    "trainer.accumulate_grad_batches=4", "trainer.max_epochs=3", "trainer.val_check_interval=6",
    "trainer.save_every_n_steps=2", "trainer.log_every_n_steps=1", "trainer.limit_val_batches=2",
    "trainer.validate_first=true", "scheduler.per=micro_step", "scheduler.warmup_steps=3",
    "callbacks=early_stopping", "callbacks.early_stopping.patience=9",
)  # fmt: skip
FIRST_SAVE = 8  # micro-batches until the first update that saves


class Crash(Exception):
    """What ends a process without a word: nothing is saved on its way out."""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    rows = [
        {"context": f"name : {chr(65 + i)} | food : {i % 5}", "completion": f"{chr(65 + i)} eats."}
        for i in range(34)
    ]
    write_rows(folder / "train.jsonl", rows)
    write_rows(folder / "valid.jsonl", rows[:7])
    return [f"data.{split}={folder}/{split}.jsonl" for split in ("train", "valid")]


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """The run that nothing interrupted, and the rows of its micro-batches."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        seen = record_rows(patch)
        run_command("train", *SETTINGS, *data, f"output_dir={folder}")
    assert len(seen) == 27
    return folder, seen


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


def interrupted(folder, data, at, happens, *overrides):
    """Train until something happens within micro-batch number `at`; return the rows seen."""
    with pytest.MonkeyPatch.context() as patch:
        seen = record_rows(patch, at, happens)
        with pytest.raises((Crash, SystemExit)) as raised:
            run_command("train", *SETTINGS, *data, f"output_dir={folder}", *overrides)
    return seen, raised.value


def rows_of(folder):
    """The curve, without times."""
    rows = read_metrics(folder / "metrics.csv")
    return [{k: v for k, v in row.items() if "per_second" not in k} for row in rows]


def state_of(folder, name="last.ckpt"):
    """A checkpoint without what is a time, or a size that depends on one."""
    state = torch.load(folder / "checkpoints" / name, weights_only=True)
    for key in ("started", "seconds", "resumed_at", "metrics_bytes"):
        del state["callbacks"]["SaveRun"][key]
    state["latest"] = {k: v for k, v in state["latest"].items() if "per_second" not in k}
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
    for name in ("last.ckpt", "best.ckpt"):
        assert_same(state_of(folder, name), state_of(expected, name))
    for name in ("adapter", "adapter_best"):
        file = f"{name}/adapter_model.safetensors"
        assert (folder / file).read_bytes() == (expected / file).read_bytes()
    assert (folder / "result.json").read_bytes() == (expected / "result.json").read_bytes()


# Within a group, within an epoch, after a validation, after an epoch's end, before the run's.
@pytest.mark.parametrize("at", [10, 12, 14, 19, 20, 27])
def test_a_crashed_run_resumed_is_the_run_that_never_crashed(at, data, whole, tmp_path):
    expected, all_rows = whole
    run = tmp_path / "run"
    interrupted(run, data, at, crash)
    done = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["micro_step"]
    with pytest.MonkeyPatch.context() as patch:
        seen = record_rows(patch)
        run_command("train", f"resume={run}")
    assert seen == all_rows[done:]
    assert_same_run(run, expected)
    assert json.loads((run / "run.json").read_text())["resumed_at"] == [done // 4]


def test_a_run_resumed_twice_is_still_the_same(data, whole, tmp_path):
    run = tmp_path / "run"
    interrupted(run, data, 10, crash)
    with pytest.MonkeyPatch.context() as patch:
        record_rows(patch, 22, crash)
        with pytest.raises(Crash):
            run_command("train", f"resume={run}")
    run_command("train", f"resume={run}")
    assert_same_run(run, whole[0])


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGUSR1, 138)]
)
def test_a_signal_saves_after_the_update_and_names_the_command_that_goes_on(
    number, code, data, whole, tmp_path, capsys
):
    run = tmp_path / "run"
    seen, exit_ = interrupted(run, data, 9, lambda: signal.raise_signal(number))
    assert len(seen) == 12  # the group of micro-batches 9 to 12
    assert exit_.code == code
    assert (
        f"after update 3 of 6; go on with: python train.py resume={run}" in capsys.readouterr().err
    )
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    run_command("train", f"resume={run}")
    assert_same_run(run, whole[0])
