"""What is wrong with a sweep is said before its first job starts."""

import pytest

from tests.commands import error_of
from tests.tiny import TRAINING


def refused(tmp_path, *arguments):
    sweep = tmp_path / "sweep"
    before = set(tmp_path.rglob("*"))
    error = error_of("train", "-m", *TRAINING, *arguments, f"output_dir={sweep}")
    assert set(tmp_path.rglob("*")) == before
    return error


def test_a_search_space_that_names_no_key_is_refused(tmp_path):
    error = refused(tmp_path, "method.rnak=1,2")
    assert "method.rnak" in error
    assert "method.rank" in error


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["method=lora,full", "method.rank=1,2"], "method=full has no such key"),
        (["method=lora,full", "method.rank=4"], "method=full has no such key"),
        (["method=lora,dorra"], "the nearest option is method=dora"),
        (["method.rank=1,oops"], "method.rank=oops: "),
        (["seed=range(-1,2)"], "seed=-1: "),
        (["seed=0,1", "optimizer.lr=oops"], "optimizer.lr=oops: "),
        (["seed=range(3,1)"], "seed=range(3,1): has no values"),
        (["seed=range(0,4,0)"], "seed=range(0,4,0): range() arg 3 must not be zero"),
        (["seed=shuffle(range(0,4))"], "leave out shuffle"),
        (["seed=interval(0,4)"], "seed=interval(0,4): a grid needs lists of values"),
        (["hydra.sweeper.params={seed: '0,1'}"], "give each key by itself"),
        (["seed=0,1", "hydra.sweeper.max_batch_size=0"], "hydra.sweeper.max_batch_size=0: "),
        (["seed=0,1", "hydra/launcher=joblib", "hydra.launcher.n_jobs=0"], "give how many jobs"),
        (["seed=0,1", "hydra/launcher=one_pas"], "nearest option is hydra/launcher=one_pass"),
        (["seed=0,1", "hydra/sweeper=tpe"], "hydra/sweeper=tpe: no such option; options: basic"),
        (["seed=0,1", "pruner={name: median}"], "an option is chosen by pruner=hyperband | median"),
        (["hydra/sweeper=optuna", "method.rank=choice(1,oops)"], "method.rank=oops: "),
        (["hydra/sweeper=optuna", "method.dropout=interval(0.1,2)"], "method.dropout=2"),
    ],
)
def test_a_wrong_value_of_any_job_is_said_before_the_first(arguments, said, tmp_path):
    assert said in refused(tmp_path, *arguments)


@pytest.mark.parametrize("sweeper", ["basic", "optuna"])
def test_a_space_of_any_sweeper_is_checked(tmp_path, sweeper):
    space = {"basic": "lr_alpha", "optuna": "optuna"}[sweeper]
    error = refused(tmp_path, f"hparams_search={space}", f"paths.output_dir={tmp_path}",
                    "+hydra.sweeper.params={optimizer.rate:'choice(1,2)'}")  # fmt: skip
    assert "unknown key optimizer.rate" in error
    assert "optimizer." in error.split("nearest one is")[1]


def test_a_second_sweep_into_one_folder_is_refused(tmp_path):
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "sweep.json").write_text("{}")
    error = refused(tmp_path, "seed=0,1")
    assert "already holds results (sweep.json)" in error


def test_two_sweeps_that_begin_at_once_cannot_share_a_folder(tmp_path):
    from lora_lightning.errors import InputError
    from lora_lightning.sweep.callback import take_folder
    from lora_lightning.sweep.record import SweepFolder
    from tests.sweep.test_spaces import plan_of

    plan = plan_of("seed=0,1")
    take_folder(SweepFolder(tmp_path), plan, overwrite=False)
    with pytest.raises(InputError, match="holds another sweep"):
        take_folder(SweepFolder(tmp_path), plan, overwrite=False)


def test_a_job_whose_folder_exists_is_refused(tmp_path):
    (tmp_path / "sweep" / "1").mkdir(parents=True)
    error = refused(tmp_path, "seed=0,1")
    assert f"{tmp_path / 'sweep' / '1'}: a folder of job 1 exists already" in error


def test_a_storage_without_a_study_name_is_refused(tmp_path):
    error = refused(tmp_path, "hydra/sweeper=optuna", "seed=0,1",
                    f"hydra.sweeper.storage=sqlite:///{tmp_path}/optuna/x.db")  # fmt: skip
    assert "hydra.sweeper.study_name" in error


def test_a_storage_that_cannot_be_opened_is_refused(tmp_path):
    (tmp_path / "optuna").mkdir()
    (tmp_path / "optuna" / "x.db").write_text("no database at all, but long enough to tell" * 9)
    error = refused(tmp_path, "hydra/sweeper=optuna", "hydra.sweeper.study_name=x", "seed=0,1",
                    f"hydra.sweeper.storage=sqlite:///{tmp_path}/optuna/x.db")  # fmt: skip
    assert "cannot be opened" in error
