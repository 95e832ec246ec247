"""A folder that a process trains in is closed to others, until that process is gone."""

import errno
import fcntl
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from lora_lightning.errors import InputError
from lora_lightning.runs.claim import LOCK, claimed, in_turn, is_running
from tests.commands import run_command
from tests.goldens import ROOT
from tests.tiny import TRAINING

HOLDS = """
import errno, fcntl, sys, time
from pathlib import Path
from lora_lightning.runs.claim import claimed
def refuse(*_):
    raise OSError(errno.ENOLCK, "no locks here")
if sys.argv[2:]:
    fcntl.flock = refuse
with claimed(Path(sys.argv[1])):
    print("claimed", flush=True)
    time.sleep(100)
"""


@contextmanager
def another_process(folder, *without_locks):
    command = [sys.executable, "-c", HOLDS, str(folder), *without_locks]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)
    try:
        assert process.stdout.readline() == b"claimed\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(params=["with locks", "without locks"])
def file_system(request, monkeypatch):
    """What the kernel says of locks on this file system; further arguments of another process."""
    if request.param == "with locks":
        return ()

    def refuse(*_):
        raise OSError(errno.ENOLCK, "no locks here")

    monkeypatch.setattr(fcntl, "flock", refuse)
    return ("without locks",)


def test_a_folder_is_one_process_alone_until_it_is_killed(tmp_path, file_system):
    with another_process(tmp_path, *file_system) as process:
        assert is_running(tmp_path)
        with pytest.raises(InputError, match="another process trains in it"), claimed(tmp_path):
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not is_running(tmp_path)


def test_a_folder_is_free_after_the_claim(tmp_path, file_system):
    with claimed(tmp_path):
        assert is_running(tmp_path)
    assert not is_running(tmp_path)
    with claimed(tmp_path):
        pass


def test_asking_leaves_nothing_in_a_folder_that_nobody_claimed(tmp_path):
    assert not is_running(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_turn_can_be_taken_again_and_again(tmp_path, file_system):
    for _ in range(3):
        with in_turn(tmp_path):
            pass


def test_a_claim_of_before_is_no_result(tmp_path):
    (tmp_path / LOCK).touch()
    run_command("train", *TRAINING, f"output_dir={tmp_path}")
    assert (tmp_path / "adapter").is_dir()
