"""A command that is refused leaves nothing behind, and nothing of what was there is touched."""

import pytest

from lora_lightning.runs.refused import note_what_is_there, nothing_left_behind
from tests.commands import error_of, run_command
from tests.tiny import TRAINING

ABSENT = ("model.path=/absent/base", *TRAINING)


def refused_after_making(folder, *names):
    """What a command does in a folder that is not there yet before it is refused."""
    with nothing_left_behind():
        note_what_is_there(folder)
        for name in names:
            (folder / name).mkdir(parents=True)
        raise SystemExit("error: wrong")


@pytest.mark.parametrize("command", ["train", "generate"])
def test_a_refused_command_leaves_no_folder_behind(command, tmp_path):
    folder = tmp_path / "new" / "run"
    error_of(command, "trainer=cpu", "model.path=/absent/base", f"output_dir={folder}")
    assert list(tmp_path.iterdir()) == []


def test_what_was_there_stays(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.log").write_text("mine")
    error_of("train", *ABSENT, f"output_dir={tmp_path / 'run'}")
    assert [path.name for path in tmp_path.rglob("*")] == ["run", "notes.log"]
    assert (tmp_path / "run" / "notes.log").read_text() == "mine"


@pytest.mark.parametrize("made", ["thesis.txt", "predictions.jsonl"])
def test_what_somebody_else_made_meanwhile_and_results_stay(made, tmp_path):
    with pytest.raises(SystemExit):
        refused_after_making(tmp_path / "run", ".hydra", made)
    assert (tmp_path / "run" / made).is_dir()


@pytest.mark.parametrize(
    "left", [[".hydra"], [".hydra", "train.log", ".lock"], [".hydra", "config.yaml", "wandb"]]
)
def test_what_a_failed_start_left_blocks_no_rerun(left, tmp_path):
    for name in left:
        (tmp_path / name).mkdir()
    assert "already holds" not in error_of("train", *ABSENT, f"output_dir={tmp_path}")


@pytest.mark.parametrize(
    "there", [["config.yaml"], [".hydra", "metrics.csv"], [".hydra", "model.txt"], ["sweep.json"]]
)
def test_what_may_be_a_result_is_refused(there, tmp_path):
    for name in there:
        (tmp_path / name).mkdir()
    assert "already holds results" in error_of("train", *ABSENT, f"output_dir={tmp_path}")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(there)


@pytest.mark.parametrize(
    ("place", "said"),
    [("file/run", "is a file, and not a folder"), ("x" * 300, "shorter"), ("file", "is a file")],
)
def test_a_folder_that_cannot_be_is_one_line_with_path_and_reason(place, said, tmp_path):
    (tmp_path / "file").touch()
    error = error_of("train", f"output_dir={tmp_path / place}", *TRAINING)
    assert error.startswith(f"error: {tmp_path}/{place}")
    assert said in error
    assert "\n" not in error


@pytest.mark.parametrize("waits", ["checkpoint=best", "callbacks=early_stopping"])
def test_what_goes_by_validation_is_refused_without_one(waits, tmp_path):
    arguments = (*TRAINING, "trainer.limit_val_batches=0", f"output_dir={tmp_path / 'run'}")
    assert "needs validation" in error_of("train", waits, *arguments)


def test_a_weight_file_as_base_names_its_folder(tmp_path):
    (tmp_path / "model.safetensors").touch()
    error = error_of("train", *TRAINING, f"model.path={tmp_path / 'model.safetensors'}",
                     f"output_dir={tmp_path / 'run'}")  # fmt: skip
    assert error.endswith(f"give its folder, {tmp_path}")


def test_a_dry_run_names_the_folder_that_would_be_written(tmp_path, caplog, capsys):
    run_command("generate", "dry_run=true", "data.limit_test=1", "trainer=cpu",
                f"paths.output_dir={tmp_path}")  # fmt: skip
    assert f"into {tmp_path}/generate/" in caplog.text + "".join(capsys.readouterr())
