"""Jobs of a sweep that promise less than the others end early, and keep what they have."""

import json

import optuna
import pytest

from lora_lightning.config.study import open_storage
from lora_lightning.sweep.__main__ import sweep as sweep_command
from tests.commands import error_of, run_command, run_process
from tests.sweep.folders import table_of

SETTINGS = ("trainer=cpu", "trainer.max_steps=4", "trainer.val_check_interval=1",
            "trainer.limit_val_batches=1", "trainer.log_every_n_steps=1")  # fmt: skip
MEDIAN = ("pruner=median", "pruner.n_startup_trials=1")
RATES = "optimizer.lr=5e-3,1e-2,1e-9"  # the last learns nothing


def statuses(folder):
    return [row["status"] for row in table_of(folder)]


def updates_of(job):
    return json.loads((job / "run.json").read_text())["updates"]


def trials_of(folder):
    storage = open_storage(f"journal:///{folder}/study.journal")
    return optuna.load_study(study_name="sweep", storage=storage).trials


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pruned") / "sweep"
    run_command("train", "-m", *SETTINGS, *MEDIAN, RATES, f"output_dir={folder}")
    return folder


def test_a_job_worse_than_the_others_ends_and_is_pruned_in_table_and_study(sweep):
    assert statuses(sweep) == ["finished", "finished", "pruned"]
    assert [updates_of(sweep / job) for job in "012"] == [4, 4, 1]
    assert [trial.state.name for trial in trials_of(sweep)] == ["COMPLETE", "COMPLETE", "PRUNED"]


def test_a_step_is_an_update_and_a_value_that_of_its_validation(sweep):
    for trial, row in zip(trials_of(sweep)[:2], table_of(sweep), strict=False):
        assert list(trial.intermediate_values) == [1, 2, 3]
        assert trial.value == float(row["objective"])


def test_a_pruned_job_keeps_adapter_metrics_and_checkpoint(sweep):
    job, row = sweep / "2", table_of(sweep)[2]
    for name in ("adapter", "adapter_best", "checkpoints/last.ckpt", "loss.png", "run.json"):
        assert (job / name).exists(), name
    assert not (job / "error.txt").exists()
    assert json.loads((job / "result.json").read_text())["pruned_after"] == 1
    assert row["objective"] == ""
    assert float(row["val/loss"]) > 0


def test_the_jobs_are_those_of_the_same_grid_without_a_pruner(sweep):
    rates = [dict(o.split("=", 1) for o in json.loads((sweep / job / "job.json").read_text())
                  ["overrides"])["optimizer.lr"] for job in "012"]  # fmt: skip
    assert list(map(float, rates)) == [5e-3, 1e-2, 1e-9]
    plan = json.loads((sweep / "sweep.json").read_text())
    assert list(plan["jobs"]) == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["pruner=wilcoxon"], "pruner=wilcoxon"),
        (["pruner=median", "pruner.n_startup_trials=-1"], "pruner.n_startup_trials=-1"),
        (["pruner=hyperband", "pruner.min_resource=9", "pruner.max_resource=3"],
         "pruner.max_resource=3: allowed is at least pruner.min_resource=9"),
        (["pruner=median", "pruner.metric=val/bleu"], "pruner.metric=val/bleu: is never logged"),
        (["pruner=median", "pruner.metric=train/loss"], "is never logged"),
        (["pruner=median", "trainer.limit_val_batches=0"], "never logged (no validation)"),
        (["pruner=median", "optimized_metric=[val/loss,parameters/trainable]"],
         "prunes by one objective"),
        (["pruner=median,hyperband"], "pruner is swept: one pruner compares"),
        (["pruner=median", "pruner.n_min_trials=1,2"], "pruner.n_min_trials is swept"),
        (["pruner=median", "hydra/sweeper=basic"], "pruner=median: needs hydra/sweeper=search"),
    ],
)  # fmt: skip
def test_a_pruner_that_could_not_work_is_refused_before_the_first_job(arguments, said, tmp_path):
    folder = tmp_path / "sweep"
    error = error_of("train", "-m", "seed=0,1", *SETTINGS, *arguments, f"output_dir={folder}")
    assert said in error
    assert "\n" not in error.strip()
    assert not folder.exists()


def test_a_job_pruned_in_one_pass_leaves_its_place_to_the_next_one(tmp_path, capsys):
    halving = ("pruner=successive_halving", "pruner.min_resource=1")
    run_command("train", "-m", *SETTINGS, *halving, "optimizer.lr=1e-2,1e-9,2e-9,5e-3",
                "hydra/launcher=one_pass", "hydra.launcher.max_jobs_at_once=2",
                f"output_dir={tmp_path}/sweep")  # fmt: skip
    assert statuses(tmp_path / "sweep")[:3] == ["finished", "pruned", "pruned"]
    assert [updates_of(tmp_path / "sweep" / job) for job in "012"] == [4, 1, 1]
    said = [line for line in capsys.readouterr().out.splitlines() if "sweep   " in line]
    # While the first job trains, the third has the second's place, then the fourth the third's.
    assert any("1/4 done, 2 running, 1 pruned" in line for line in said)
    assert any("2/4 done, 2 running, 2 pruned" in line for line in said)
    assert not any("3 running" in line for line in said)


def test_a_job_that_was_not_pruned_cannot_be_promoted(sweep):
    from lora_lightning.errors import InputError

    with pytest.raises(InputError, match="promote=0: is no job that was pruned; allowed is 2"):
        sweep_command(["resume", str(sweep), "promote=0"])


@pytest.mark.long
def test_a_promoted_job_ends_as_if_it_had_never_been_pruned(sweep, tmp_path):
    import shutil

    alone = tmp_path / "alone"
    run_command("train", *SETTINGS, "optimizer.lr=1e-9", f"output_dir={alone}")
    copy = shutil.copytree(sweep, tmp_path / "sweep")
    assert sweep_command(["resume", str(copy), "promote=best"]) == 0
    assert statuses(copy) == ["finished"] * 3
    files = [folder / "adapter" / "adapter_model.safetensors" for folder in (copy / "2", alone)]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert [trial.state.name for trial in trials_of(copy)][-1] == "COMPLETE"


@pytest.mark.long
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_both_ranks_of_a_pruned_job_end_after_the_same_update(launcher, tmp_path):
    folder = tmp_path / "sweep"
    run_process("train.py", "-m", *SETTINGS, *MEDIAN, "optimizer.lr=1e-2,1e-9", "trainer=ddp_cpu",
                "trainer.max_steps=2", "data.batch_size=4", f"hydra/launcher={launcher}",
                "hydra.sweeper.n_jobs=1", f"output_dir={folder}")  # fmt: skip
    assert statuses(folder) == ["finished", "pruned"]
    assert [updates_of(folder / job) for job in "01"] == [2, 1]
    assert len(json.loads((folder / "1" / "run.json").read_text())["ranks"]) == 2
