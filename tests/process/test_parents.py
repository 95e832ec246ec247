"""No process outlives the one that started it."""

import os
import signal
import subprocess
import sys

import psutil
import pytest

from lora_lightning.process.parent import PARENT, is_running
from tests.commands import run_command
from tests.goldens import ROOT
from tests.process.commands import all_end, family, lines_in, ranks_of, started, wait_until
from tests.tiny import read_rows

LONG = ("trainer=ddp_cpu", "trainer.max_epochs=100", "trainer.log_every_n_steps=1",
        "trainer.limit_val_batches=1")  # fmt: skip
DECODING = ("generation.num_beams=2", "generation.max_new_tokens=6", "generation.batch_size=1",
            "data.limit_test=40")  # fmt: skip


def test_a_rank_ends_with_rank_zero_while_it_trains(tmp_path):
    with started("train.py", *LONG, f"output_dir={tmp_path / 'run'}") as process:
        wait_until(lambda: lines_in(tmp_path / "run" / "metrics.csv") > 2, process)
        left = family(process)[1:]
        assert ranks_of(process)
        process.kill()
        assert all_end(left)


def test_a_rank_ends_with_rank_zero_while_it_starts(tmp_path):
    with started("train.py", *LONG, f"output_dir={tmp_path / 'run'}") as process:
        wait_until(lambda: ranks_of(process), process)
        left = family(process)[1:]
        process.kill()
        assert all_end(left)


def test_a_rank_ends_with_rank_zero_while_it_decodes_and_a_restart_has_every_id_once(tmp_path):
    folder = tmp_path / "predictions"
    arguments = (*DECODING, f"output_dir={folder}")
    with started("generate.py", "trainer=ddp_cpu", *arguments) as process:
        shards = [folder / "shards" / f"rank_{rank}.jsonl" for rank in (0, 1)]
        wait_until(lambda: all(lines_in(shard) > 1 for shard in shards), process)
        left = family(process)[1:]
        process.kill()
        assert all_end(left)
    assert not (folder / "predictions.jsonl").exists()
    run_command("generate", "trainer=cpu", *arguments)
    ids = [record["id"] for record in read_rows(folder / "predictions.jsonl")]
    assert len(set(ids)) == len(ids) == 40


WATCHES = """
import os, sys, time
from lora_lightning.process import parent
{how}
sys.stdout.write("ready\\n"); sys.stdout.flush()
time.sleep(100)
"""
STARTS = """
import os, subprocess, sys
environment = os.environ | {"NAME": str(os.getpid())}
subprocess.run([sys.executable, "-c", sys.argv[1]], env=environment)
"""


def ends_with_its_parent(how):
    """Whether a process that calls `how` ends after its parent was killed."""
    program = STARTS.replace("NAME", PARENT)
    command = [sys.executable, "-c", program, WATCHES.format(how=how)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout.readline() == "ready\n"
        [child] = family(process)[1:]
        process.kill()
        return all_end([child])


def test_a_command_started_by_another_ends_with_it():
    assert ends_with_its_parent("parent.end_with_parent()")


def test_where_no_kernel_does_it_a_thread_looks_after_the_parent():
    without_kernel = "parent.parent_death_signal = lambda: None; parent.end_with_parent()"
    assert ends_with_its_parent(without_kernel)


def test_a_worker_of_a_launcher_ends_with_the_command():
    assert ends_with_its_parent("parent.end_with_command()")


RUNS_A_PROGRAM = """
import subprocess
program = ["sleep", "100"]
with subprocess.Popen(program, preexec_fn=parent.until_this_process_ends()) as process:
    sys.stdout.write("ready\\n"); sys.stdout.flush()
    process.wait()
"""


@pytest.mark.parametrize("how", ["", "parent.parent_death_signal = lambda: None"])
def test_a_program_of_another_kind_ends_with_the_command_that_runs_it(how):
    command = [sys.executable, "-c", WATCHES.format(how=how + RUNS_A_PROGRAM)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout.readline() == "ready\n"
        left = family(process)[1:]
        assert left
        process.kill()
        assert all_end(left)


def test_a_command_whose_parent_is_gone_already_ends_at_once():
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"],
                          capture_output=True, text=True)  # fmt: skip
    program = "from lora_lightning.process.parent import end_with_parent; end_with_parent()"
    environment = os.environ | {PARENT: gone.stdout.strip()}
    ended = subprocess.run([sys.executable, "-c", program], env=environment, cwd=ROOT)
    assert ended.returncode == -signal.SIGKILL


def test_a_command_that_a_user_starts_has_no_parent_to_end_with(monkeypatch):
    monkeypatch.delenv(PARENT, raising=False)
    program = "from lora_lightning.process.parent import end_with_parent; end_with_parent()"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT).returncode == 0


def test_a_process_runs_until_it_has_ended_and_where_the_system_does_not_tell(monkeypatch):
    child = subprocess.Popen([sys.executable, "-c", ""])
    assert is_running(os.getpid())
    child.wait()
    assert not is_running(child.pid)

    def refuse(_):
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil, "Process", refuse)
    assert is_running(1)
