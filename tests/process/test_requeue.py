"""The script of docs/sweeps.md that SLURM gives a second turn, with stand-ins for its programs."""

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import psutil

from tests.goldens import ROOT
from tests.process.commands import command_of, lines_in, wait_until
from tests.sweep import slurm
from tests.tiny import TRAINING

JOB = {"SLURM_JOB_ID": "4200", "SLURM_JOB_NAME": "train", "SLURM_NNODES": "1", "SLURM_NTASKS": "1",
       "SLURM_NTASKS_PER_NODE": "1", "SLURM_NODELIST": "localhost"}  # fmt: skip


def script_of_the_page(run):
    """The page's script, for a run that takes seconds."""
    page = (ROOT / "docs" / "sweeps.md").read_text(encoding="utf-8")
    [script] = [part for part in page.split("```") if "scontrol requeue" in part]
    settings = " ".join([*TRAINING, "trainer.max_steps=20", "trainer.limit_val_batches=0",
                         "data.batch_size=2", "trainer.val_check_interval=null"])  # fmt: skip
    return (
        script.removeprefix("bash\n")
        .replace("outputs/train/my_run", str(run))
        .replace("experiment=e2e/gpt2_medium", settings)
    )


def programs(folder):
    """Stand-ins for SLURM's programs; `scontrol` writes down what it is asked."""
    folder.mkdir()
    slurm.install(folder)
    scontrol = folder / "scontrol"
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> {folder / "asked"}\n')
    scontrol.chmod(scontrol.stat().st_mode | stat.S_IXUSR)
    return folder


def test_a_run_that_slurm_signals_before_its_time_is_over_goes_on_in_its_next_turn(tmp_path):
    run, bin_ = tmp_path / "run", programs(tmp_path / "programs")
    path = os.pathsep.join([str(bin_), str(Path(sys.executable).parent), os.environ["PATH"]])
    turn = ["bash", "-c", script_of_the_page(run)]
    environment = os.environ | JOB | {"PATH": path}
    first = subprocess.Popen(
        turn, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    wait_until(lambda: lines_in(run / "metrics.csv") > 2, first)
    [task] = [
        process
        for process in psutil.Process(first.pid).children(recursive=True)
        if command_of(process).split()[1:2] == ["train.py"]
    ]
    task.send_signal(signal.SIGUSR1)
    said, _ = first.communicate(timeout=100)
    assert first.returncode == 0, said
    assert f"go on with: python train.py resume={run}" in said
    assert (bin_ / "asked").read_text() == "requeue 4200\n"

    subprocess.run(turn, env=environment, cwd=ROOT, check=True, timeout=100)
    assert (bin_ / "asked").read_text() == "requeue 4200\n"
    record = json.loads((run / "run.json").read_text())
    [resumed_at] = record["resumed_at"]
    assert 0 < resumed_at < 20
    assert lines_in(run / "metrics.csv") == 21
