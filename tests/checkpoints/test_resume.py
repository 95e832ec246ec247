"""A run that was interrupted and resumed is the run that was not interrupted, bit for bit."""

import json
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file, save_file

from lora_lightning.checkpoints.files import AtomicCheckpoints, read_checkpoint
from lora_lightning.runs.claim import claimed
from lora_lightning.sweep.__main__ import sweep as sweep_command
from tests.checkpoints.interrupted_runs import (
    SETTINGS,
    Crash,
    assert_same_run,
    crash,
    interrupted,
    record_rows,
    rows_of,
)
from tests.commands import error_of, run_command, run_process
from tests.goldens import ROOT
from tests.tiny import DECODING, write_rows


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


@pytest.mark.parametrize(
    "overrides",
    [
        ["trainer.accumulate_grad_batches=3"],  # updates where epochs end and after validations
        ["trainer.accumulate_grad_batches=1", "trainer.save_every_n_steps=1",
         "trainer.validate_first=false", "trainer.limit_val_batches=0"],
        ["trainer.accumulate_grad_batches=1", "trainer.save_every_n_steps=null",
         "data.shuffle=false", "trainer.max_steps=22", "scheduler.per=optimizer_step"],
    ],
    ids=["at the end of epochs", "without validation", "in file order"],
)  # fmt: skip
def test_the_place_in_the_loop_is_found_again(overrides, data, tmp_path):
    whole, run = tmp_path / "whole", tmp_path / "run"
    has_validation = "trainer.limit_val_batches=0" not in overrides
    settings = [s for s in SETTINGS if has_validation or not s.startswith("callbacks")]
    run_command("train", *settings, *data, *overrides, f"output_dir={whole}")
    interrupted(run, data, 8, crash, *overrides, settings=settings)
    for at in (10, 11, 20):  # after the first epoch, within the second, after it
        with pytest.MonkeyPatch.context() as patch:
            record_rows(patch, at, crash)
            with pytest.raises(Crash):
                run_command("train", f"resume={run}")
    run_command("train", f"resume={run}")
    assert_same_run(run, whole)


def test_samplers_go_on_from_a_checkpoint_that_names_their_state_by_the_data_set(
    data, whole, tmp_path
):
    run = tmp_path / "run"
    interrupted(run, data, 14, crash)
    last = run / "checkpoints" / "last.ckpt"
    saved = read_checkpoint(last)
    saved["JsonlDataModule"] = saved.pop("Batches")
    AtomicCheckpoints().save_checkpoint(saved, last)
    run_command("train", f"resume={run}")
    assert_same_run(run, whole[0])


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
    earlier = signal.signal(signal.SIGINT, signal.default_int_handler)
    seen, exit_ = interrupted(run, data, 9, lambda: signal.raise_signal(number))
    assert len(seen) == 12  # the group of micro-batches 9 to 12
    assert exit_.code == code
    said = capsys.readouterr().err
    assert f"after update 3 of 6; go on with: python train.py resume={run}" in said
    assert signal.signal(signal.SIGINT, earlier) is signal.default_int_handler
    run_command("train", f"resume={run}")
    assert_same_run(run, whole[0])


def test_a_job_of_a_sweep_goes_on_alone_in_its_folder(data, whole, tmp_path):
    sweep = tmp_path / "sweep"
    interrupted(sweep, data, 18, crash, "seed=0", "-m")
    run_command("train", f"resume={sweep / '0'}")
    assert_same_run(sweep / "0", whole[0])
    assert [path.name for path in sweep.iterdir() if path.is_dir()] == ["0"]


def test_a_resumed_sweep_goes_on_from_the_checkpoint_of_its_killed_job(data, whole, tmp_path):
    sweep = tmp_path / "sweep"
    interrupted(sweep, data, 18, crash, "seed=0", "-m")
    assert sweep_command(["resume", str(sweep)]) == 0
    assert_same_run(sweep / "0", whole[0])
    assert json.loads((sweep / "0" / "run.json").read_text())["resumed_at"]


def test_a_process_killed_while_it_writes_a_checkpoint_leaves_the_one_before(data, whole, tmp_path):
    run = tmp_path / "run"
    program = """
import os, runpy, signal, sys, torch
write, saves = torch.save, []
def half(checkpoint, path):
    saves.append(path)
    if len(saves) < 4:
        return write(checkpoint, path)
    with open(path, "wb") as file:
        file.write(b"half of a checkpoint")
    os.kill(os.getpid(), signal.SIGKILL)
torch.save = half
sys.argv[0] = "train.py"
runpy.run_path("train.py", run_name="__main__")
"""
    killed = subprocess.run(
        [sys.executable, "-c", program, *SETTINGS, *data, f"output_dir={run}"], cwd=ROOT
    )
    assert killed.returncode == -signal.SIGKILL
    assert any(path.name.endswith(".partial") for path in (run / "checkpoints").iterdir())
    run_command("train", f"resume={run}")
    assert_same_run(run, whole[0])
    assert {path.name for path in (run / "checkpoints").iterdir()} == {
        "last.ckpt",
        "last-previous.ckpt",
        "best.ckpt",
    }


@pytest.fixture(scope="module")
def crashed(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "crashed"
    interrupted(folder, data, 18, crash)
    return folder


@pytest.fixture
def copy_of_crashed(crashed, tmp_path):
    return shutil.copytree(crashed, tmp_path / "outputs" / "train" / "run")


def test_checkpoints_load_without_pickle_and_hold_no_frozen_tensor(crashed):
    for name in ("last.ckpt", "best.ckpt"):
        checkpoint = torch.load(crashed / "checkpoints" / name, weights_only=True)
        assert checkpoint["state_dict"]
        assert all("lora_" in tensor for tensor in checkpoint["state_dict"])
        [optimizer] = checkpoint["optimizer_states"]
        assert len(optimizer["state"]) == len(checkpoint["state_dict"])


def test_keys_that_alter_numbers_are_listed_and_refused(crashed):
    before = {path: path.read_bytes() for path in crashed.rglob("*") if path.is_file()}
    error = error_of("train", f"resume={crashed}", "optimizer.lr=2e-3", "seed=4")
    assert "optimizer.lr 0.01 → 0.002" in error
    assert "seed 0 → 4" in error
    assert "resume_force=true" in error
    assert {path: path.read_bytes() for path in crashed.rglob("*") if path.is_file()} == before


def test_a_group_that_alters_numbers_is_refused(crashed):
    assert "optimizer._target_" in error_of("train", f"resume={crashed}", "optimizer=sgd")
    assert "experiment=quickstart" in error_of(
        "train", f"resume={crashed}", "experiment=quickstart"
    )


def test_another_base_is_refused(copy_of_crashed, tmp_path):
    base = shutil.copytree(ROOT / "data" / "sample" / "base" / "gpt2_tiny", tmp_path / "base")
    tensors = load_file(base / "model.safetensors")
    next(iter(tensors.values())).mul_(1.5)
    save_file(tensors, base / "model.safetensors", {"format": "pt"})
    error = error_of("train", f"resume={copy_of_crashed}", f"model.path={base}")
    assert "weights of the base" in error


def test_other_data_is_refused(copy_of_crashed, data, tmp_path):
    rows = write_rows(tmp_path / "valid.jsonl", [{"context": "a", "completion": "b"}] * 7)
    error = error_of("train", f"resume={copy_of_crashed}", f"data.valid={rows}")
    assert "content of" in error
    assert "valid.jsonl" in error


def test_keys_that_alter_nothing_may_change(copy_of_crashed, whole):
    run_command("train", f"resume={copy_of_crashed}", "trainer.progress_every_n_seconds=1",
                "trainer.save_every_n_steps=1", "logger=tensorboard",
                "trainer.limit_val_batches=2")  # fmt: skip
    assert_same_run(copy_of_crashed, whole[0])
    assert (copy_of_crashed / "tensorboard").is_dir()


def test_latest_is_the_last_run_that_did_not_end_and_then_is_still_done(
    copy_of_crashed, whole, tmp_path
):
    shutil.copytree(whole[0], copy_of_crashed.with_name("ended_later"))
    test = tmp_path / "test.jsonl"
    write_rows(test, [{"context": "name : A", "completion": "A eats."}] * 3)
    arguments = ["resume=latest", f"paths.output_dir={tmp_path / 'outputs'}", *DECODING[1:],
                 "then=[generate]", f"data.test={test}"]  # fmt: skip
    assert "generation.num_beams 10 → 2" in error_of("train", *arguments)
    run_command("train", *arguments, "resume_force=true")
    assert (copy_of_crashed / "predictions" / "test" / "manifest.json").is_file()
    assert_same_tensors(copy_of_crashed, whole[0])
    assert "all have ended" in error_of("train", *arguments)


def assert_same_tensors(run, expected):
    file = "adapter/adapter_model.safetensors"
    assert (run / file).read_bytes() == (expected / file).read_bytes()


def test_a_run_that_has_ended_says_so_and_stays_as_it_is(whole, tmp_path, capsys):
    run = shutil.copytree(whole[0], tmp_path / "run")
    run_command("train", f"resume={run}")
    assert "ended after update 6; nothing is left" in capsys.readouterr().out
    assert_same_run(run, whole[0])
    assert (run / "run.json").read_bytes() == (whole[0] / "run.json").read_bytes()


def test_a_run_that_has_ended_goes_on_for_more_epochs_on_request(whole, tmp_path):
    run = shutil.copytree(whole[0], tmp_path / "run")
    assert "trainer.max_epochs 3 → 4" in error_of("train", f"resume={run}", "trainer.max_epochs=4")
    run_command("train", f"resume={run}", "trainer.max_epochs=4", "resume_force=true")
    steps = [row["step"] for row in rows_of(run) if "train/loss" in row]
    assert steps == list(range(1, 10))
    assert OmegaConf.load(run / "config.yaml").trainer.max_epochs == 4
    run_command("train", f"resume={run}")  # the new length is the run's now


def test_a_run_that_ended_within_an_epoch_goes_on_with_the_rows_that_follow(data, whole, tmp_path):
    run = tmp_path / "run"
    run_command("train", *SETTINGS, *data, "trainer.max_steps=4", f"output_dir={run}")
    with pytest.MonkeyPatch.context() as patch:
        seen = record_rows(patch)
        run_command("train", f"resume={run}", "trainer.max_steps=null", "resume_force=true")
    assert seen == whole[1][16:]


def test_a_run_without_a_checkpoint_and_a_folder_without_a_run_are_errors(data, tmp_path):
    run = tmp_path / "run"
    interrupted(run, data, 3, crash)
    assert "before its first save" in error_of("train", f"resume={run}")
    assert "no such folder" in error_of("train", f"resume={tmp_path / 'absent'}")
    assert "leave out -m" in error_of("train", "-m", f"resume={run}", "seed=0,1")


def test_a_run_that_another_process_trains_is_left_alone(copy_of_crashed):
    with claimed(copy_of_crashed):
        assert "another process" in error_of("train", f"resume={copy_of_crashed}")


@pytest.mark.long
def test_two_ranks_end_together_on_a_signal_to_one_and_go_on_together(data, tmp_path):
    arguments = ["train.py", *SETTINGS, *data, "trainer=ddp_cpu", "trainer.max_epochs=20"]
    whole, run = tmp_path / "whole", tmp_path / "run"
    run_process(*arguments, f"output_dir={whole}")
    process = subprocess.Popen(
        [sys.executable, *arguments, f"output_dir={run}"],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (run / "metrics.csv").is_file() or len(rows_of(run)) < 5:
        time.sleep(0.05)
    process.terminate()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143, said
    assert f"resume={run}" in said
    assert "Traceback" not in said
    assert not (run / "adapter").exists()
    assert "trainer.devices 2 → 1" in error_of("train", f"resume={run}", "trainer=cpu")
    run_process("train.py", f"resume={run}")
    assert_same_run(run, whole)
    assert len(json.loads((run / "run.json").read_text())["ranks"]) == 2
