"""The search draws by every sampler, from one study however many draw from it, whatever kills them.

Jobs that train stand in `test_spaces.py`; here an arithmetic one stands for them, launched by the
sweeper as any other.
"""

import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import RunMode
from optuna.cli import main as upgrade

from lora_lightning.config import resolvers
from lora_lightning.config.study import open_storage
from lora_lightning.errors import InputError
from lora_lightning.sweep.__main__ import sweep as sweep_command
from lora_lightning.sweep.record import Job, SweepFolder
from lora_lightning.sweep.search import search
from lora_lightning.sweep.space import Space
from tests.commands import error_of, run_command
from tests.goldens import ROOT
from tests.tiny import TRAINING

OLD = Path(__file__).parent / "fixtures" / "optuna_2_10.sql"
SPACE = ("optimizer.lr=tag(log,interval(1e-4,1e-1))", "method.rank=range(2,9,2)")


def ended(overrides, status="finished", objective=None):
    """A job as its launcher returns it: the better, the nearer its rate is to 3e-3."""
    given = dict(override.split("=", 1) for override in overrides)
    value = abs(float(given["optimizer.lr"]) - 3e-3) if objective is None else objective
    job = Job("0", list(overrides), status, objective=value if status == "finished" else None)
    return JobReturn(overrides=overrides, status=JobStatus.COMPLETED, _return_value=job)


def run_search(folder, *overrides, launched=ended, space=SPACE):
    resolvers.register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(ROOT / "configs"), version_base="1.3", job_name="train"):
        config = GlobalHydra.instance().hydra.compose_config(
            "train",
            ["hydra/sweeper=search", f"output_dir={folder}", *space, *overrides],
            run_mode=RunMode.MULTIRUN,
        )
        HydraConfig.instance().set_config(config)
        search(config, lambda wave, initial_job_idx: [launched(job) for job in wave])
    return None if config.dry_run else study_in(folder)


def study_in(folder):
    storage = open_storage(f"journal:///{folder}/study.journal")
    return optuna.load_study(study_name="sweep", storage=storage)


@pytest.mark.parametrize("sampler", ["tpe", "gp", "cmaes", "qmc", "random"])
def test_each_sampler_draws_from_the_space_and_again_the_same_by_its_seed(sampler, tmp_path):
    drawn = []
    for name in ("first", "second"):
        study = run_search(tmp_path / name, f"hydra.sweeper.sampler={sampler}",
                           "hydra.sweeper.n_trials=12", "seed=3")  # fmt: skip
        drawn.append([trial.params for trial in study.trials])
    assert drawn[0] == drawn[1]
    assert len(drawn[0]) == 12
    assert all(1e-4 <= params["optimizer.lr"] <= 1e-1 for params in drawn[0])
    assert {params["method.rank"] for params in drawn[0]} <= {2, 4, 6, 8}


def test_the_sampler_of_before_is_taken_by_its_class_and_arguments(tmp_path):
    study = run_search(tmp_path / "sweep", "hydra.sweeper.n_trials=3",
                       "hydra.sweeper.sampler._target_=optuna.samplers.NSGAIISampler",
                       "+hydra.sweeper.sampler.population_size=2",
                       "hydra.sweeper.sampler.seed=1")  # fmt: skip
    assert len(study.trials) == 3


def test_a_seed_of_the_sampler_counts_also_where_the_sampler_is_left_to_us(tmp_path):
    drawn = []
    for seed in (1, 1, 2):
        study = run_search(tmp_path / f"{len(drawn)}", f"hydra.sweeper.sampler.seed={seed}",
                           "hydra.sweeper.n_trials=2")  # fmt: skip
        drawn.append([trial.params for trial in study.trials])
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_sampler_that_takes_no_seed_is_given_none():
    name = "optuna.samplers.PartialFixedSampler"
    given = {"fixed_params": {}, "base_sampler": {"_target_": "optuna.samplers.RandomSampler"}}
    space = Space({"_target_": name, **given}, {}, None, [], 1, 1)
    assert isinstance(space.make_sampler(3), optuna.samplers.PartialFixedSampler)


@pytest.mark.parametrize("sampler", ["null", "grid"])
def test_a_grid_has_each_combination_once(sampler, tmp_path):
    grid = ("optimizer.lr=1e-3,1e-2", "method.rank=1,2,4")
    named = () if sampler == "null" else (f"hydra.sweeper.sampler={sampler}",)
    study = run_search(tmp_path / "sweep", *named, space=grid)
    found = {(trial.params["optimizer.lr"], trial.params["method.rank"]) for trial in study.trials}
    assert found == {(rate, rank) for rate in (1e-3, 1e-2) for rank in (1, 2, 4)}
    assert len(study.trials) == 6


def test_a_grid_that_has_been_tried_is_refused_before_the_first_job(tmp_path):
    named = ("hydra.sweeper.sampler=grid", "hydra.sweeper.study_name=sweep",
             f"hydra.sweeper.storage=journal:///{tmp_path}/study.journal")  # fmt: skip
    run_search(tmp_path, *named, space=("optimizer.lr=1e-3,1e-2",))
    error = error_of("train", "-m", "hydra/sweeper=search", "optimizer.lr=1e-3,1e-2", *named,
                     f"output_dir={tmp_path}/again")  # fmt: skip
    assert "has each of the 2 combinations; name=" in error
    assert not (tmp_path / "again").exists()


def test_a_job_with_a_hole_for_a_score_is_no_failed_trial(tmp_path):
    statuses = iter(["finished", "finished", "failed"])

    def launched(overrides):
        returned = ended(overrides, next(statuses))
        if returned.return_value.status == "finished" and launched.count == 0:
            object.__setattr__(returned.return_value, "objective", None)
        launched.count += 1
        return returned

    launched.count = 0
    study = run_search(tmp_path / "sweep", "hydra.sweeper.n_trials=3", launched=launched)
    assert [trial.state.name for trial in study.trials] == ["PRUNED", "COMPLETE", "FAIL"]


def test_more_failed_jobs_than_allowed_end_the_search(tmp_path):
    with pytest.raises(InputError, match="1 of 1 jobs failed"):
        run_search(tmp_path / "sweep", "hydra.sweeper.max_failure_rate=0.5",
                   launched=lambda job: ended(job, "failed"))  # fmt: skip
    assert len(study_in(tmp_path / "sweep").trials) == 1


def test_a_dry_run_leaves_no_trial(tmp_path):
    run_search(tmp_path / "sweep", "dry_run=true", "hydra.sweeper.n_trials=2",
               launched=lambda job: JobReturn(status=JobStatus.COMPLETED))  # fmt: skip
    assert not (tmp_path / "sweep").exists()


def draw_together(folder):
    """What each of several processes does."""
    shared = (f"hydra.sweeper.storage=journal:///{folder}/study.journal",
              "hydra.sweeper.study_name=sweep", "hydra.sweeper.n_trials=10")  # fmt: skip
    run_search(Path(folder), *shared)


def test_processes_that_draw_from_one_study_draw_different_values(tmp_path):
    program = f"from tests.sweep.test_search import draw_together; draw_together({str(tmp_path)!r})"
    processes = [subprocess.Popen([sys.executable, "-c", program], cwd=ROOT) for _ in range(2)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    trials = study_in(tmp_path).trials
    assert [trial.number for trial in trials] == list(range(20))
    assert {trial.state.name for trial in trials} == {"COMPLETE"}
    assert len({trial.params["optimizer.lr"] for trial in trials}) == 20


def test_a_journal_that_a_full_disk_cut_short_goes_on(tmp_path):
    shared = (f"hydra.sweeper.storage=journal:///{tmp_path}/study.journal",
              "hydra.sweeper.study_name=sweep", "hydra.sweeper.n_trials=2")  # fmt: skip
    run_search(tmp_path, *shared)
    path = tmp_path / "study.journal"
    path.write_bytes(path.read_bytes() + b'{"op_code": 5, "wor')
    study = run_search(tmp_path, *shared)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["hydra.sweeper.sampler=annealing"], "allowed is tpe | gp | cmaes | qmc | grid | random"),
        (["hydra.sweeper.sampler=3"], "hydra.sweeper.sampler=3: allowed is tpe | gp"),
        (["hydra.sweeper.sampler._target_=optuna.samplers.No"], "hydra.sweeper.sampler"),
        (["hydra.sweeper.sampler._target_=pathlib.Path"], "name one that is a BaseSampler"),
        (["hydra.sweeper.sampler=grid"], "needs lists of values"),
        (["hydra.sweeper.sampler={name: tpe}"], "hydra.sweeper.sampler.name: is no sampler"),
        (["hydra.sweeper.sampler=[tpe]"], "allowed is tpe | gp | cmaes | qmc | grid | random"),
        (["hydra.sweeper.sampler=tpe", "+hydra.sweeper.sampler.seed=1"], "takes no arguments"),
        (["hydra.sweeper.sampler._target_=optuna.samplers.QMCSampler",
          "+hydra.sweeper.sampler.qmc_type=no"], "QMCSampler refuses this"),
        (["optimizer.lr=interval(1e-2,1e-4)"], "optimizer.lr=interval(1e-2,1e-4): no values"),
        (["optimizer.lr=tag(log,interval(0,1e-4))"], "under tag(log,…) both above 0"),
        (["hydra.sweeper.params=[a,b]"], "allowed is a mapping"),
        (["hydra.sweeper.params={seed: 'no(1)'}"], "hydra.sweeper.params.seed=no(1): Unknown"),
        (["hydra.sweeper.max_failure_rate=2"], "hydra.sweeper.max_failure_rate=2: allowed is"),
        (["hydra.sweeper.storage=study.db", "hydra.sweeper.study_name=x"], "is no storage"),
        (["hydra.sweeper.study_name=5"], "hydra.sweeper.study_name=5: allowed is a text"),
        (["optimized_metric=[val/loss,val/loss]"], "names one twice"),
        (["hydra.sweeper.n_trials=0"], "hydra.sweeper.n_trials=0"),
        (["hydra.sweeper.n_jobs=-1"], "hydra.sweeper.n_jobs=-1"),
        (["hydra.sweeper.direction=up"], "allowed is minimize | maximize"),
        (["hydra.sweeper.sampler=cmaes", "optimized_metric=[val/loss,parameters/trainable]"],
         "takes one objective"),
        (["hydra.sweeper.storage='sqlite://'", "hydra.sweeper.study_name=x"], "is memory"),
        (["hydra.sweeper.storage=journal:////proc/none/x", "hydra.sweeper.study_name=x"],
         "cannot be opened or written"),
        (["optimized_metric=[val/loss,test/bleu]"], "test/bleu: the run will have"),
    ],
)  # fmt: skip
def test_a_search_that_could_not_work_is_refused_before_the_first_job(arguments, said, tmp_path):
    folder = tmp_path / "sweep"
    error = error_of("train", "-m", *TRAINING, "hydra/sweeper=search", SPACE[0], *arguments,
                     f"output_dir={folder}")  # fmt: skip
    assert said in error
    assert "\n" not in error.strip()
    assert not folder.exists()


def test_several_objectives_give_a_front_in_table_figure_and_json(tmp_path, capsys):
    folder = tmp_path / "sweep"
    run_command("train", "-m", *TRAINING, "hydra/sweeper=search", "method.rank=2,4",
                "optimized_metric=[val/loss,parameters/trainable]", f"output_dir={folder}",
                "optimizer.lr=1e-2,1e-9")  # fmt: skip
    sweep_command(["plot", str(folder)])
    assert (folder / "plots" / "pareto_front.png").is_file()
    capsys.readouterr()
    sweep_command(["show", str(folder), "--json"])
    record = json.loads(capsys.readouterr().out)
    assert record["direction"] == ["minimize", "minimize"]
    jobs = {job["job"]: (job["val/loss"], job["parameters/trainable"]) for job in record["jobs"]}
    best = {
        job
        for job, own in jobs.items()
        if not any(o != own and o[0] <= own[0] and o[1] <= own[1] for o in jobs.values())
    }
    assert set(record["front"]) == best
    sweep_command(["show", str(folder), "--wide"])
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("★") for line in lines) == len(best)
    assert len(study_in(folder).best_trials) == len(best)


def test_a_study_of_the_old_version_is_refused_until_it_is_converted(tmp_path, capsys):
    """The fixture is what `hparams_search=optuna` with Optuna 2.10 left after two trials."""
    database = tmp_path / "optuna" / "sample_e2e_gpt2_tiny.db"
    database.parent.mkdir()
    with sqlite3.connect(database) as connection:
        connection.executescript(OLD.read_text(encoding="utf-8"))
    before = shutil.copy(database, tmp_path / "before.db")
    command = ("train", "hparams_search=optuna", *TRAINING, "hydra.sweeper.n_trials=1",
               f"paths.output_dir={tmp_path}", f"output_dir={tmp_path / 'sweep'}")  # fmt: skip
    error = error_of(*command)
    storage = f"sqlite:///{database}"
    assert f"`optuna storage upgrade --storage {storage}`" in error
    assert database.read_bytes() == Path(before).read_bytes()
    assert not (tmp_path / "sweep").exists()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["optuna", "storage", "upgrade", "--storage", storage])
        upgrade()
    run_command(*command)
    trials = optuna.load_study(study_name="sample_e2e_gpt2_tiny", storage=storage).trials
    assert [trial.number for trial in trials] == [0, 1, 2]
    assert SweepFolder.open(tmp_path / "sweep").jobs()[0].objective == trials[2].value
