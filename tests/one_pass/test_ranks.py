"""DDP in a pass: processes that each have all jobs come to what each job comes to with its own."""

import json

import pytest
import torch
from safetensors.torch import load_file

from tests.checkpoints.interrupted_runs import assert_same_run
from tests.commands import run_command, run_process
from tests.methods.options import user_module
from tests.one_pass.numbers import TOLERANCE, check_numbers
from tests.one_pass.test_resume import go_on
from tests.sweep.folders import table_of
from tests.tiny import DECODING, read_rows

# Five batches of validation, of which one rank has three, at another time in each job.
SETTINGS = (
    "trainer=ddp_cpu", "trainer.max_steps=4", "trainer.log_every_n_steps=1",
    "trainer.accumulate_grad_batches=2", "data.batch_size=3", "data.limit_valid=13",
    "method.dropout=0.2", "seed=${method.rank}", "trainer.val_check_interval=${method.rank}",
)  # fmt: skip
THEN = (*DECODING, "then=[generate]")
LAUNCHER = "hydra/launcher=one_pass"
OWN = """
import os, signal
from lightning.pytorch import Callback

class Happens(Callback):
    def __init__(self, rank, seed, what):
        self.rank, self.seed, self.what = rank, seed, what

    def on_train_batch_end(self, trainer, module, *_):
        own = trainer.global_rank, torch_seed()
        if module.micro_step == 4 and own == (self.rank, self.seed):
            if self.what == "fails":
                raise ValueError("on this rank alone")
            os.kill(os.getpid(), signal.SIGKILL if self.what == "dies" else signal.SIGTERM)

def torch_seed():
    from hydra.core.hydra_config import HydraConfig
    return 1 + HydraConfig.get().job.num
"""


def check_equal(together, alone):
    """Check that a job has the numbers and texts of the same job by itself."""
    check_numbers(together, alone)
    texts = [[(record["id"], record["tokens"])
              for record in read_rows(run / "predictions" / "test" / "predictions.jsonl")]
             for run in (together, alone)]  # fmt: skip
    assert texts[0] == texts[1]
    records = [json.loads((run / "run.json").read_text()) for run in (together, alone)]
    assert [len(record["ranks"]) for record in records] == [2, 2]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pass") / "sweep"
    with pytest.raises(SystemExit, match="1 of 4 jobs did not finish"):
        run_command("train", "-m", *SETTINGS, *THEN, "method.rank=1,2,100000,3", LAUNCHER,
                    f"output_dir={folder}")  # fmt: skip
    return folder


def test_a_job_that_fails_on_all_ranks_leaves_the_others_in_the_pass(sweep):
    statuses = [row["status"] for row in table_of(sweep)]
    assert statuses == ["finished", "finished", "failed", "finished"]
    assert not torch.distributed.is_initialized()


ALL_JOBS = [
    pytest.param("0", 1, marks=pytest.mark.long), pytest.param("1", 2, marks=pytest.mark.long),
    ("3", 3),
]  # fmt: skip


@pytest.mark.parametrize(("job", "rank"), ALL_JOBS)
def test_a_job_has_the_numbers_and_texts_that_it_has_with_ranks_of_its_own(
    job, rank, sweep, tmp_path
):
    run_process("train.py", *SETTINGS, *THEN, f"method.rank={rank}", f"output_dir={tmp_path}/run")
    check_equal(sweep / job, tmp_path / "run")


@pytest.mark.long
def test_two_ranks_learn_what_one_learns_from_twice_the_micro_batches(tmp_path):
    methods = "vera", "ia3", "ln_tuning", "fourierft", "waveft", "randlora", "tinylora", "unilora"
    settings = ("data.shuffle=false", "data.batch_size=2", "trainer.max_steps=3", LAUNCHER,
                "scheduler=constant", "optimizer.lr=1e-2",
                f"method={','.join(methods)}")  # fmt: skip
    run_command("train", "-m", *settings, "trainer=ddp_cpu", "trainer.limit_val_batches=1",
                f"output_dir={tmp_path}/two")  # fmt: skip
    run_command("train", "-m", *settings, "trainer=cpu", "trainer.limit_val_batches=1",
                "trainer.accumulate_grad_batches=2", f"output_dir={tmp_path}/one")  # fmt: skip
    for job in map(str, range(len(methods))):
        two, one = (load_file(tmp_path / run / job / "adapter" / "adapter_model.safetensors")
                    for run in ("two", "one"))  # fmt: skip
        torch.testing.assert_close(two, one, atol=TOLERANCE, rtol=1e-4)


@pytest.mark.long
def test_a_job_is_pruned_on_all_ranks_and_leaves_its_place_to_the_next_one(tmp_path):
    run_command("train", "-m", "trainer=ddp_cpu", "trainer.max_steps=4", "data.limit_valid=13",
                "trainer.val_check_interval=1", "pruner=successive_halving",
                "pruner.min_resource=1", "optimizer.lr=1e-2,1e-9,2e-9", LAUNCHER,
                "hydra.launcher.max_jobs_at_once=2", f"output_dir={tmp_path}/sweep")  # fmt: skip
    statuses = [row["status"] for row in table_of(tmp_path / "sweep")]
    assert statuses == ["finished", "pruned", "pruned"]


@pytest.mark.long
@pytest.mark.parametrize(
    ("rank", "what", "said"),
    [
        (0, "fails", "failed on rank 0 and not on rank 1 (on this rank alone)"),
        (1, "fails", "failed on rank 1 and not on rank 0 (on this rank alone)"),
        (1, "dies", "rank 1 ended with SIGKILL"),
    ],
)
def test_what_befalls_one_rank_alone_ends_the_pass_with_a_line(rank, what, said, tmp_path):
    output = run_process(*with_a_callback(tmp_path, rank, what), exit_code=1)
    assert said in output
    assert "sweep resume" in output.splitlines()[-1]


@pytest.mark.long
@pytest.mark.parametrize("rank", [0, 1])
def test_a_signal_to_one_rank_saves_all_jobs_which_go_on_bit_for_bit(rank, tmp_path):
    output = run_process(*with_a_callback(tmp_path, rank, "signal"), exit_code=143)
    assert [row["status"] for row in table_of(tmp_path / "sweep")] == ["killed"] * 3
    for job in "012":
        assert (tmp_path / "sweep" / job / "checkpoints" / "last.ckpt").is_file(), output
    go_on(tmp_path / "sweep", "012")
    run_command("train", "-m", *SETTINGS, "method.rank=1,2,3", LAUNCHER,
                f"output_dir={tmp_path}/whole")  # fmt: skip
    for job in "012":
        assert_same_run(tmp_path / "sweep" / job, tmp_path / "whole" / job)


def with_a_callback(place, rank, what):
    """The command of a pass in which something happens to the second job on one rank."""
    folder = user_module(place / "user", "befalls", OWN)
    happens = f"+callbacks.happens={{_target_:befalls.Happens,rank:{rank},seed:2,what:{what}}}"
    return ("train.py", "-m", *SETTINGS, "method.rank=1,2,3", LAUNCHER, happens,
            f"paths.user_dir={folder}", f"output_dir={place}/sweep")  # fmt: skip
