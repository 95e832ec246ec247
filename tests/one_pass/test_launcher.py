"""`hydra/launcher=one_pass`: a sweep's jobs side by side, each with all that it has alone."""

import json

import pytest
import torch
from omegaconf import OmegaConf

from tests.commands import error_of, run_command
from tests.one_pass.numbers import TOLERANCE, check_numbers
from tests.sweep.folders import table_of
from tests.tasks.test_golden_training import check_adapter, check_losses, check_run, overrides
from tests.tiny import TRAINING

ONE_PASS = "hydra/launcher=one_pass"


def files_of(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def first_lines(path):
    """Return what a log begins with, but for how the sweep stands, which depends on the others."""
    lines = path.read_text().splitlines()
    return [line for line in lines if not line.startswith("sweep ")][:4]


def check_equal(together, alone):
    """Check that a job has the files, numbers and log of the same job by itself."""
    assert files_of(together) == files_of(alone)
    check_numbers(together, alone)
    saved, other = (torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
                    for run in (together, alone))  # fmt: skip
    for key in ("random_states", "frozen_base", "data_sha256", "update"):
        assert str(saved[key]) == str(other[key])
    settings, others = (dict(OmegaConf.load(run / "config.yaml")) for run in (together, alone))
    assert settings | {"output_dir": None} == others | {"output_dir": None}
    record, other = (json.loads((run / "run.json").read_text()) for run in (together, alone))
    assert record.keys() == other.keys()
    for key in ("seed", "parameters", "updates", "data", "versions"):
        assert record.get(key) == other.get(key)
    first = [first_lines(run / "train.log") for run in (together, alone)]
    assert first[0] == first[1]


def test_a_sweep_has_the_files_and_numbers_of_separate_jobs(tmp_path):
    jobs = (*TRAINING, "method.rank=1,2,4", "method.dropout=0.1",
            "trainer.val_check_interval=2", "trainer.accumulate_grad_batches=2")  # fmt: skip
    run_command("train", "-m", *jobs, ONE_PASS, "hydra.launcher.max_jobs_at_once=2",
                f"output_dir={tmp_path}/together")  # fmt: skip
    run_command("train", "-m", *jobs, f"output_dir={tmp_path}/alone")
    for number in range(3):
        check_equal(tmp_path / "together" / str(number), tmp_path / "alone" / str(number))
    for row, other in zip(
        table_of(tmp_path / "together"), table_of(tmp_path / "alone"), strict=True
    ):
        assert (row["job"], row["status"]) == (other["job"], "finished")
        assert float(row["objective"]) == pytest.approx(float(other["objective"]), abs=TOLERANCE)


# Updates of a golden run's first third, and the micro-step after which its adapter is recorded.
FIRST_THIRD = {"a_readme": (10, "step10"), "b_accumulate_clip_cosine": (8, "step16")}


def test_golden_runs_trained_side_by_side_follow_the_reference_for_a_third(tmp_path):
    further = {
        name: ["scheduler.total_steps=30", f"trainer.max_steps={updates}",
               "trainer.validate_first=false", "trainer.limit_val_batches=0"]
        for name, (updates, _) in FIRST_THIRD.items()
    }  # fmt: skip
    for name, run in trained_side_by_side(further, tmp_path).items():
        updates, place = FIRST_THIRD[name]
        check_losses(name, run, updates)
        check_adapter(name, run, place)


@pytest.mark.long
def test_golden_runs_trained_side_by_side_follow_the_reference(tmp_path):
    names = [*FIRST_THIRD, "c_jlm_constant", "lora_e2e"]
    for name, run in trained_side_by_side({name: [] for name in names}, tmp_path).items():
        check_run(name, run)
        check_adapter(name, run)


def trained_side_by_side(further, place):
    """Train golden runs as the jobs of a sweep, each with its settings by an experiment."""
    experiments = place / "configs" / "experiment"
    experiments.mkdir(parents=True)
    for name, added in further.items():
        given = [o for o in overrides(name, place) if not o.startswith("output_dir=")]
        write_experiment(experiments / f"{name}.yaml", [*given, *added])
    run_command("train", "-m", f"experiment={','.join(further)}", "data=jsonl", "trainer=cpu",
                "optimizer=adamw_reference", ONE_PASS, "--config-dir", f"{place}/configs",
                f"output_dir={place}/sweep")  # fmt: skip
    return {name: place / "sweep" / str(number) for number, name in enumerate(further)}


def write_experiment(path, given):
    """Write overrides as an experiment's option."""
    config = OmegaConf.create({})
    groups = {}
    for override in given:
        key, value = override.split("=", 1)
        if key in ("data", "trainer", "optimizer", "scheduler", "loss"):
            groups[key] = value
        else:
            OmegaConf.update(config, key, OmegaConf.create(f"v: {value}").v)
    chosen = "".join(f"  - override /{group}: {option}\n" for group, option in groups.items())
    text = OmegaConf.to_yaml(config)
    path.write_text(f"# @package _global_\ndefaults:\n{chosen}  - _self_\n{text}")


def test_jobs_that_cannot_share_run_by_themselves_in_their_places(tmp_path, capsys):
    run_command("train", "-m", *TRAINING, "method=lora,full", "seed=0,1", "trainer.max_steps=1",
                ONE_PASS, "hydra.launcher.memory=1", f"output_dir={tmp_path}/sweep")  # fmt: skip
    said = capsys.readouterr().out
    assert said.count("1 at once, the next begins where one ends") == 1
    assert said.count("jobs 0, 1 share their base") == 1
    assert said.count("jobs 2, 3: method=full") == 1
    assert [row["status"] for row in table_of(tmp_path / "sweep")] == ["finished"] * 4


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (["method=lora,full"], "method=full"),
        (["seed=0,1", "trainer.compile=true"], "trainer.compile"),
        (["trainer.gradient_checkpointing=true,false"], "precision and gradient checkpointing"),
        (["model.dtype=float32,bfloat16"], "no other job has its base"),
        (["method=lora,full", "hydra/sweeper=search"], "method=full"),
    ],
)
def test_strict_refuses_before_the_first_job_and_leaves_nothing(given, named, tmp_path):
    strict = (ONE_PASS, "hydra.launcher.strict=true", f"output_dir={tmp_path}/sweep")
    error = error_of("train", "-m", "trainer=cpu", *given, *strict)
    assert named in error
    assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize("limit", ["max_jobs_at_once=0", "memory=-1"])
def test_a_limit_below_one_is_refused_and_leaves_nothing(limit, tmp_path):
    given = f"hydra.launcher.{limit}"
    error = error_of("train", "-m", "seed=0,1", ONE_PASS, given, f"output_dir={tmp_path}/sweep")
    assert given in error
    assert not (tmp_path / "sweep").exists()


def test_a_job_that_fails_leaves_the_others_in_the_pass(tmp_path):
    with pytest.raises(SystemExit):
        run_command("train", "-m", *TRAINING, "method.rank=2,100000,4",
                    "trainer.max_steps=2", ONE_PASS, f"output_dir={tmp_path}/sweep")  # fmt: skip
    assert [row["status"] for row in table_of(tmp_path / "sweep")] == [
        "finished", "failed", "finished",
    ]  # fmt: skip
