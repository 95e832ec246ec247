"""A fault of the disk is one line, keeps the last good state, and lets the run go on."""

import errno
import os
import resource
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lora_lightning.decoding.writer import ShardWriter
from lora_lightning.errors import disk_fault
from lora_lightning.files import atomic_folder, atomic_path, atomic_text
from tests.checkpoints.interrupted_runs import assert_same_run, crash, record_rows
from tests.commands import error_of, run_command
from tests.tiny import DECODING, TRAINING, read_rows

SAVING = (*TRAINING, "data.batch_size=2", "trainer.max_steps=6",
          "trainer.save_every_n_steps=1")  # fmt: skip


@contextmanager
def largest_file(size):
    """Files of this process hold at most so many bytes, as under `ulimit -f`."""
    earlier = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, earlier[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, earlier)


def test_a_training_that_cannot_save_keeps_its_last_state_and_ends_as_if_nothing_was(tmp_path):
    whole, run = tmp_path / "whole", tmp_path / "run"
    run_command("train", *SAVING, f"output_dir={whole}")
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill():
        resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, limit[1]))

    try:
        with pytest.MonkeyPatch.context() as patch:
            record_rows(patch, 4, fill)
            error = error_of("train", *SAVING, f"output_dir={run}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert f"{run / 'checkpoints' / 'last.ckpt'}: File too large (" in error
    assert f"MB free); go on with: python train.py resume={run}" in error
    run_command("train", f"resume={run}")
    assert_same_run(run, whole)


def test_a_decoding_that_cannot_write_goes_on_afterwards(tmp_path):
    folder = tmp_path / "predictions"
    arguments = ("trainer=cpu", *DECODING, f"output_dir={folder}")
    write = ShardWriter.write

    def write_little(self, record):
        with largest_file(self._file.tell() + 10 * ("id" in record and record["id"] > 1)):
            write(self, record)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ShardWriter, "write", write_little)
        with largest_file(1 << 40):
            error = error_of("generate", *arguments)
    assert f"{folder / 'shards' / 'rank_0.jsonl'}: File too large (" in error
    assert f"the same command with output_dir={folder}" in error
    run_command("generate", *arguments)
    assert len(read_rows(folder / "predictions.jsonl")) == 5


def test_a_run_folder_that_was_removed_is_named_and_not_made_again(tmp_path):
    run = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        record_rows(patch, 3, lambda: shutil.rmtree(run))
        error = error_of("train", *SAVING, f"output_dir={run}")
    assert str(run) in error
    assert "MB free)" in error
    assert not run.exists()


def test_a_predictions_folder_that_was_removed_is_named(tmp_path):
    folder = tmp_path / "predictions"
    write = ShardWriter.write

    def remove(self, record):
        write(self, record)
        shutil.rmtree(folder, ignore_errors=True)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ShardWriter, "write", remove)
        error = error_of("generate", "trainer=cpu", *DECODING, f"output_dir={folder}")
    assert f"{folder / 'shards'}: the folder was removed meanwhile (" in error


@pytest.mark.parametrize("command", ["train", "generate", "evaluate"])
def test_a_folder_that_cannot_be_made_is_named(command, tmp_path):
    (tmp_path / "file").touch()
    error = error_of(command, f"output_dir={tmp_path / 'file' / 'run'}")
    assert error.startswith(f"error: {tmp_path / 'file' / 'run'}")
    assert "Not a directory (" in error


def write_by_torch(path):
    torch.save({"weights": torch.zeros(50_000)}, path)


def write_by_safetensors(path):
    save_file({"weights": torch.zeros(50_000)}, path)


def write_by_python(path):
    path.write_bytes(bytes(200_000))


@pytest.mark.parametrize("write", [write_by_torch, write_by_safetensors, write_by_python])
def test_whatever_library_writes_a_file_the_path_and_the_reason_are_named(write, tmp_path):
    path = tmp_path / "good"
    path.write_text("as before")
    with largest_file(100_000), pytest.raises(OSError, match="File too large") as raised:  # noqa: SIM117
        with atomic_path(path) as temporary:
            write(temporary)
    assert (raised.value.errno, raised.value.filename) == (errno.EFBIG, str(path))
    assert [path.name for path in tmp_path.iterdir()] == ["good"]
    assert path.read_text() == "as before"


@pytest.mark.parametrize("write", [write_by_safetensors, write_by_python])
def test_a_folder_that_cannot_be_written_whole_stays_as_it_was(write, tmp_path):
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "file").write_text("as before")
    with largest_file(100_000), pytest.raises(OSError, match="File too large") as raised:  # noqa: SIM117
        with atomic_folder(folder) as temporary:
            write(temporary / "file")
    assert raised.value.filename == str(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]
    assert (folder / "file").read_text() == "as before"


def test_an_error_that_is_not_the_disks_stays_as_it_is(tmp_path):
    with pytest.raises(RuntimeError, match="of the block"), atomic_path(tmp_path / "file"):
        raise RuntimeError("of the block")
    with pytest.raises(ConnectionResetError) as raised, atomic_text(tmp_path / "file"):
        raise ConnectionResetError(errno.ECONNRESET, "reset")
    assert disk_fault(raised.value) is None


@pytest.mark.parametrize("command", ["train", "generate", "evaluate"])
def test_a_file_is_named_that_a_library_could_not_write(command, tmp_path):
    with largest_file(0):
        error = error_of(command, f"output_dir={tmp_path / 'run'}", "predictions=absent.jsonl"
                         if command == "evaluate" else "trainer=cpu")  # fmt: skip
    assert error.startswith(f"error: {tmp_path / 'run' / '.hydra' / 'config.yaml'}: File too large")


def test_a_full_disk_without_a_files_name_is_named_by_the_folder():
    line = disk_fault(OSError(errno.ENOSPC, "No space left on device"))
    assert line is not None
    assert "No space left on device (" in line


@pytest.mark.skipif(sys.platform != "linux", reason="needs two folders to exchange their names")
def test_a_folder_takes_the_place_of_another_in_one_step_and_keeps_what_else_is_there(
    tmp_path, monkeypatch
):
    folder = tmp_path / "adapter"
    (folder / "notes").mkdir(parents=True)
    for name in ("first", "second", "notes/mine"):
        (folder / name).write_text("old")
    monkeypatch.setattr(Path, "replace", crash)  # where a kill would leave one file old, one new
    with atomic_folder(folder) as temporary:
        for name in ("first", "second"):
            (temporary / name).write_text("new")
    found = [(folder / name).read_text() for name in ("first", "second", "notes/mine")]
    assert found == ["new", "new", "old"]
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]


def test_what_a_killed_process_of_the_same_id_left_is_in_nobodys_way(tmp_path):
    folder = tmp_path / "adapter"
    left = tmp_path / f".adapter.{os.getpid()}.partial"
    left.mkdir()
    (left / "half").touch()
    with atomic_folder(folder) as temporary:
        (temporary / "file").touch()
    assert [path.name for path in folder.iterdir()] == ["file"]
