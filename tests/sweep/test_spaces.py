"""The search spaces sweep what they say, a study goes on after a restart, W&B's agent fits."""

from dataclasses import replace

import optuna
import pytest
import yaml
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from sqlalchemy.exc import OperationalError
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

from lora_lightning.cli.entry import prepare_arguments
from lora_lightning.config import resolvers
from lora_lightning.config.rules import check_config
from lora_lightning.config.study import direction_of
from lora_lightning.runs.jobs import JOBS
from lora_lightning.sweep.__main__ import sweep as sweep_command
from lora_lightning.sweep.plan import make_plan
from lora_lightning.sweep.record import SweepFolder
from tests.commands import error_of, run_command
from tests.config.test_rules import composed
from tests.goldens import ROOT
from tests.tiny import TRAINING


def plan_of(*overrides):
    resolvers.register()
    JOBS.set(None)  # as every command does, which may follow another one in this process
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(ROOT / "configs"), version_base="1.3", job_name="train"):
        config = GlobalHydra.instance().hydra.compose_config(
            "train", list(overrides), run_mode=RunMode.MULTIRUN
        )
        HydraConfig.instance().set_config(config)  # as the callback does, which is told of a sweep
        return make_plan(config)


@pytest.mark.parametrize(
    ("space", "axes", "jobs"),
    [
        ("rank_grid", ["method.rank", "seed"], 15),
        ("lr_alpha", ["optimizer.lr", "method.alpha"], 16),
        ("targets", ["method.targets"], 7),
    ],
)
def test_a_grid_has_a_job_for_each_combination_and_all_are_allowed(space, axes, jobs):
    plan = plan_of(f"hparams_search={space}")  # checks every value
    assert plan.axes == axes
    assert len(plan.jobs) == jobs


@pytest.mark.parametrize(
    ("space", "axes", "jobs"),
    [
        ("methods", ["method", "seed"], 48),
        ("table3", ["method", "seed"], 18),
        ("table18", ["method.rank"], 11),
        ("ambiguities", ["checkpoint", "generation.length_penalty", "optimizer.lr", "seed"], 36),
    ],
)
def test_a_ready_comparison_runs_with_the_papers_settings(space, axes, jobs):
    plan = plan_of(f"hparams_search={space}", "experiment=e2e/gpt2_medium")
    assert plan.axes == axes
    assert len(plan.jobs) == jobs
    assert plan.metric == "test/bleu"


def test_the_command_line_narrows_a_search_space():
    plan = plan_of("hparams_search=rank_grid", "seed=0", "method.rank=2,4")
    assert plan.axes == ["method.rank"]
    assert [job[1:] for job in plan.jobs.values()] == [
        ["seed=0", "hparams_search=rank_grid"], ["seed=0", "hparams_search=rank_grid"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("metric", "direction"),
    [("val/loss", "minimize"), ("val/perplexity", "minimize"), ("test/ter", "minimize"),
     ("test/bleu", "maximize"), ("test/meteor", "maximize")],
)  # fmt: skip
def test_a_metric_says_which_way_is_better(metric, direction):
    assert direction_of(metric) == direction


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Two trials, and after a restart of the same command two more."""
    folder = tmp_path_factory.mktemp("study")
    for sweep in ("first", "second"):
        run_study(folder, f"output_dir={folder / sweep}")
    return folder


def run_study(folder, *more, run=run_command):
    return run("train", "hparams_search=optuna", *TRAINING, "hydra.sweeper.n_trials=2",
               f"paths.output_dir={folder}", *more)  # fmt: skip


def load_study(folder):
    name = "sample_e2e_gpt2_tiny"
    return optuna.load_study(study_name=name, storage=f"sqlite:///{folder}/optuna/{name}.db")


def test_a_study_is_continued_by_the_same_command(study):
    trials = load_study(study).trials
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 4
    values = [job.objective for name in ("first", "second") for job in jobs_of(study / name)]
    assert [trial.value for trial in trials] == values


def jobs_of(folder):
    return SweepFolder.open(folder).jobs()


def test_a_continued_study_draws_new_values(study):
    drawn = [tuple(trial.params.values()) for trial in load_study(study).trials]
    assert len(set(drawn)) == 4


def test_the_sampler_is_seeded(study, tmp_path):
    run_study(tmp_path, f"output_dir={tmp_path / 'sweep'}")
    again = [trial.params for trial in load_study(tmp_path).trials]
    assert again == [trial.params for trial in load_study(study).trials[:2]]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("trainer.max_steps=4", "trainer.max_steps: 3 there, 4 here"),
        ("optimizer.lr=interval(1e-5,1e-4)", "optimizer.lr"),
        ("hydra.sweeper.direction=maximize", "direction minimize"),
        ("hydra.sweeper.study_name=mine hydra.sweeper.storage=sqlite:///{}/optuna/"
         "sample_e2e_gpt2_tiny.db", "holds another study, sample_e2e_gpt2_tiny"),
    ],
)  # fmt: skip
def test_a_storage_that_holds_another_study_is_refused(study, tmp_path, override, said):
    overrides = override.format(study).split()
    error = run_study(study, *overrides, f"output_dir={tmp_path / 'sweep'}", run=error_of)
    assert said in error
    assert not (tmp_path / "sweep").exists()
    assert len(load_study(study).trials) == 4


def test_a_failed_trial_is_told_to_the_study_and_ends_nothing(tmp_path):
    sweep = tmp_path / "sweep"
    with pytest.raises(SystemExit, match="1 of 3 jobs did not finish: 0 "):
        run_study(tmp_path, "method.rank=choice(999,4)", f"output_dir={sweep}",
                  "hydra.sweeper.n_trials=3", "seed=2")  # fmt: skip
    states = [trial.state.name for trial in load_study(tmp_path).trials]
    assert states == ["FAIL", "COMPLETE", "COMPLETE"]
    assert [job.status for job in jobs_of(sweep)] == ["failed", "finished", "finished"]


def test_a_study_without_any_finished_trial_ends_with_one_line(tmp_path):
    error = run_study(tmp_path, "method.rank=choice(998,999)", "hydra.sweeper.n_trials=1",
                      f"output_dir={tmp_path / 'sweep'}", run=error_of)  # fmt: skip
    assert "no trial finished" in error


def agents_command(parameters):
    """Return the command line that W&B's own code makes of the sweep file."""
    sweep = yaml.safe_load((ROOT / "configs" / "wandb_sweep.yaml").read_text())
    given = create_sweep_command_args({"args": {k: {"value": v} for k, v in parameters.items()}})
    given |= {"env": ["/usr/bin/env"], "interpreter": ["python"], "program": [sweep["program"]]}
    line = []
    for part in create_sweep_command(sweep["command"]):
        line += given[part[2:-1]] if part.startswith("${") else [part]
    return line


def test_the_agents_command_line_is_exactly_this():
    assert agents_command({"method.rank": 4, "optimizer.lr": 0.003, "seed": 1}) == [
        "/usr/bin/env", "python", "train.py", "method.rank=4", "optimizer.lr=0.003", "seed=1",
        "experiment=quickstart", "logger=wandb",
    ]  # fmt: skip


def test_the_agents_parameters_are_keys_of_the_command():
    sweep = yaml.safe_load((ROOT / "configs" / "wandb_sweep.yaml").read_text())
    values = {k: p["values"][0] if "values" in p else p["min"] for k, p in
              sweep["parameters"].items()}  # fmt: skip
    check_config(composed(*agents_command(values)[3:-1]))


def test_a_resumed_agent_passes_everything_and_only_overrides_arrive():
    passed = {
        "method.rank": 4, "seed": 1, "wandb_version": 1, "_wandb": {"cli_version": "0.31"},
        "rank": 4, "method": {"_target_": "lora_lightning.methods.lora_method.LoRA", "rank": 4},
        "data": {"dir": "/data", "batch_size": 8}, "output_dir": "/old/run", "adapter": None,
        "then": ["generate", "evaluate"], "dry_run": False, "callbacks": {},
    }  # fmt: skip
    overrides = prepare_arguments("train", agents_command(passed)[3:])
    assert overrides == [
        "method.rank=4", "seed=1", "adapter=null", "then=['generate', 'evaluate']",
        "dry_run=False", "experiment=quickstart", "logger=wandb",
    ]  # fmt: skip
    check_config(composed(*overrides[:-1]))


def test_a_text_that_looks_like_a_printed_group_stays():
    assert "text='{\\'name\\': 1}'" in prepare_arguments("generate", ["text={'name': 1}"])


@pytest.mark.long
def test_resume_finishes_a_study_that_was_cut_short(tmp_path):
    sweep = tmp_path / "sweep"
    run_study(tmp_path, f"output_dir={sweep}")
    record = SweepFolder.open(sweep)
    record.write_plan(replace(record.plan, trials=3))
    assert sweep_command(["resume", str(sweep)]) == 0
    assert [job.job for job in jobs_of(sweep)] == ["0", "1", "2"]
    assert len(load_study(tmp_path).trials) == 3


@pytest.mark.parametrize("place", ["Study.ask", "create_study"])
def test_a_storage_that_cannot_be_written_any_more_is_one_line(place, tmp_path):
    def fail(*_, **__):
        raise OperationalError("INSERT", {}, Exception("disk I/O error"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"optuna.{place}", fail)
        error = run_study(tmp_path, f"output_dir={tmp_path / 'sweep'}", run=error_of)
    assert error.startswith("error: hydra.sweeper.storage")
    assert "disk I/O error" in error
    assert "\n" not in error
