"""A pass that was cut short goes on with all its jobs to the numbers that it would have had."""

import signal

import pytest

from lora_lightning.runs.folder import CONTINUES
from lora_lightning.sweep.record import JOB
from lora_lightning.training.module import FineTuning
from tests.checkpoints.interrupted_runs import assert_same_run
from tests.commands import run_command

# One of the jobs ends early; then the others go on without it.
JOBS = (
    "trainer=cpu", "hydra/launcher=one_pass", "method.dropout=0.2", "trainer.max_steps=4,8,9",
    "seed=${trainer.max_steps}", "method.rank=${trainer.max_steps}",
    "trainer.save_every_n_steps=2", "trainer.log_every_n_steps=1",
    "trainer.limit_val_batches=1", "data.batch_size=2", "callbacks=early_stopping",
)  # fmt: skip
LONG = ("1", "2")


class Crash(BaseException):
    """What ends a process without a word: nothing is saved on its way out."""


def crash():
    raise Crash


def terminate():
    signal.raise_signal(signal.SIGTERM)


def cut_short(folder, at, happens):
    """Train until something happens in a job's micro-batch number `at`."""
    step = FineTuning.training_step

    def interrupted(self, batch, batch_index):
        if self.micro_step + 1 == at and self.model.transformer.h[0].attn.c_attn.rank == 9:
            happens()
        return step(self, batch, batch_index)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FineTuning, "training_step", interrupted)
        with pytest.raises((Crash, SystemExit)):
            run_command("train", "-m", *JOBS, f"output_dir={folder}")


def go_on(folder, jobs):
    """Do what `sweep resume` does."""
    for job in jobs:
        (folder / job / JOB).unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CONTINUES, str(folder))
        run_command("train", "-m", f"+sweep_job={','.join(jobs)}", "hydra/launcher=one_pass",
                    "hydra.sweep.subdir=${sweep_job}", "hydra.output_subdir=null",
                    f"hydra.sweep.dir={folder}")  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "sweep"
    run_command("train", "-m", *JOBS, f"output_dir={folder}")
    return folder


@pytest.mark.parametrize(
    ("at", "happens"), [pytest.param(7, crash, marks=pytest.mark.long), (6, terminate)]
)
def test_a_pass_cut_short_ends_bit_for_bit_as_one_that_was_not(at, happens, whole, tmp_path):
    cut_short(tmp_path / "sweep", at, happens)
    go_on(tmp_path / "sweep", LONG)
    for job in LONG:
        assert_same_run(tmp_path / "sweep" / job, whole / job)
