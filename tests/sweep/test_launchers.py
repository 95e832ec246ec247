"""Whatever launches a job and whatever draws its values, its ranks train with one config, in one
folder. Two processes on the CPU stand for as many GPUs.
"""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from tests.commands import run_process
from tests.goldens import ROOT
from tests.sweep import slurm
from tests.sweep.folders import table_of

DDP = ("trainer=ddp_cpu", "trainer.max_steps=2", "trainer.log_every_n_steps=1",
       "trainer.limit_val_batches=1")  # fmt: skip
RATES = ("optimizer.lr=1e-3,2e-3",)


def check_jobs(sweep, world_sizes=(2, 2)):
    """Check that every job's ranks had one config and one folder; return the jobs' configs."""
    rows = table_of(sweep)
    assert [row["status"] for row in rows] == ["finished"] * len(world_sizes)
    configs = []
    for row, world_size in zip(rows, world_sizes, strict=True):
        folder = Path(row["folder"])
        ranks = json.loads((folder / "run.json").read_text())["ranks"]
        assert [rank["rank"] for rank in ranks] == list(range(world_size))
        assert len({rank["config_sha256"] for rank in ranks}) == 1
        configs.append(OmegaConf.load(folder / "config.yaml"))
        assert configs[-1].output_dir == str(sweep)
        result = json.loads((folder / "result.json").read_text())
        assert float(row["objective"]) == result["value"]
    assert len(list(sweep.parent.rglob("run.json"))) == len(world_sizes)
    return configs


def test_joblib_runs_jobs_beside_each_other(tmp_path):
    sweep = tmp_path / "sweep"
    run_process("train.py", "-m", *DDP[1:], "trainer=cpu,ddp_cpu", "hydra/launcher=joblib",
                "hydra.launcher.n_jobs=2", f"output_dir={sweep}")  # fmt: skip
    check_jobs(sweep, world_sizes=(1, 2))


@pytest.mark.long
def test_submitit_runs_jobs_on_this_machine(tmp_path):
    sweep = tmp_path / "sweep"
    run_process("train.py", "-m", *DDP, *RATES, "hydra/launcher=submitit_local",
                f"output_dir={sweep}")  # fmt: skip
    assert [config.optimizer.lr for config in check_jobs(sweep)] == [1e-3, 2e-3]


@pytest.fixture
def fake_slurm(tmp_path, monkeypatch):
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{slurm.install(programs)}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.long
@pytest.mark.usefixtures("fake_slurm")
def test_slurm_runs_a_job_that_starts_its_own_ranks_on_one_node(tmp_path):
    sweep = tmp_path / "sweep"
    run_process("train.py", "-m", *DDP, *RATES, "hydra/launcher=submitit_slurm",
                f"output_dir={sweep}")  # fmt: skip
    assert [config.optimizer.lr for config in check_jobs(sweep)] == [1e-3, 2e-3]


@pytest.mark.long
@pytest.mark.usefixtures("fake_slurm")
def test_slurm_runs_a_job_over_two_nodes(tmp_path):
    sweep = tmp_path / "sweep"
    run_process("train.py", "-m", *DDP, "optimizer.lr=1e-3", "trainer.num_nodes=2",
                "trainer.devices=1", "hydra/launcher=submitit_slurm", "hydra.launcher.nodes=2",
                "hydra.launcher.tasks_per_node=1", f"output_dir={sweep}")  # fmt: skip
    check_jobs(sweep, world_sizes=(2,))


@pytest.mark.long
@pytest.mark.usefixtures("fake_slurm")
def test_slurm_with_another_number_of_tasks_than_ranks_is_refused(tmp_path):
    said = run_process("train.py", "-m", *DDP, "optimizer.lr=1e-3", "trainer.devices=3",
                       "hydra/launcher=submitit_slurm", "hydra.launcher.tasks_per_node=2",
                       f"output_dir={tmp_path / 'sweep'}", exit_code=1)  # fmt: skip
    assert "1 of 1 jobs did not finish" in said
    assert "hydra.launcher.tasks_per_node" in table_of(tmp_path / "sweep")[0]["error"]


@pytest.mark.long
def test_the_values_of_an_optuna_trial_are_those_of_both_ranks(tmp_path):
    import optuna

    sweep = tmp_path / "sweep"
    run_process("train.py", *DDP, "hparams_search=optuna", "hydra.sweeper.n_trials=2",
                f"paths.output_dir={tmp_path}", f"output_dir={sweep}")  # fmt: skip
    configs = check_jobs(sweep)
    study = optuna.load_study(
        study_name="sample_e2e_gpt2_tiny",
        storage=f"sqlite:///{tmp_path}/optuna/sample_e2e_gpt2_tiny.db",
    )
    assert len(study.trials) == 2
    for trial, config, row in zip(study.trials, configs, table_of(sweep), strict=True):
        assert trial.params == {key: OmegaConf.select(config, key) for key in trial.params}
        assert trial.value == float(row["objective"])


@pytest.mark.long
def test_torchrun_on_two_nodes_trains_into_one_folder(tmp_path):
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    command = [
        str(Path(sys.executable).with_name("torchrun")), "--nnodes=2", "--nproc-per-node=1",
        "--rdzv-backend=c10d", f"--rdzv-endpoint=localhost:{port}", "--rdzv-id=test",
        "--local-addr=localhost", "train.py", *DDP, "trainer.num_nodes=2", "trainer.devices=1",
        f"paths.output_dir={tmp_path}",
    ]  # fmt: skip
    agents = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for _ in range(2)
    ]
    said = [agent.communicate(timeout=150)[0].decode() for agent in agents]
    assert [agent.returncode for agent in agents] == [0, 0], "\n".join(said)
    [folder] = (tmp_path / "train" / "sample_e2e_gpt2_tiny").iterdir()
    ranks = json.loads((folder / "run.json").read_text())["ranks"]
    assert [rank["rank"] for rank in ranks] == [0, 1]
    assert len({rank["config_sha256"] for rank in ranks}) == 1
