"""`latest` is one run for all commands, wherever the config says that runs lie."""

import os

import pytest
from omegaconf import OmegaConf

from lora_lightning.cli.arguments import prepare_arguments
from lora_lightning.config import compose
from lora_lightning.errors import InputError
from lora_lightning.export import export
from lora_lightning.runs.latest import latest_run, named_run, training_outputs, training_runs
from lora_lightning.sweep.__main__ import sweep
from tests.recorded import copy_recorded


@pytest.fixture
def outputs(tmp_path):
    """A folder of outputs with one finished run."""
    copy_recorded(tmp_path / "recorded")
    (tmp_path / "outputs" / "train").mkdir(parents=True)
    (tmp_path / "recorded" / "finished").rename(tmp_path / "outputs" / "train" / "run")
    return tmp_path / "outputs"


@pytest.fixture
def local_config(tmp_path, outputs, monkeypatch):
    """This machine's own config names the folder of outputs, below the user's home."""
    monkeypatch.setenv("HOME", str(tmp_path))
    configs = tmp_path / "configs"
    configs.mkdir()
    for path in compose.CONFIGS.iterdir():
        if path.name != "local":
            (configs / path.name).symlink_to(path)
    (configs / "local").mkdir()
    OmegaConf.save({"paths": {"output_dir": "~/outputs"}}, configs / "local" / "default.yaml")
    text = (configs / "local" / "default.yaml").read_text()
    (configs / "local" / "default.yaml").write_text(f"# @package _global_\n{text}")
    monkeypatch.setattr(compose, "CONFIGS", configs)


def run_of(arguments):
    [run] = [argument for argument in arguments if argument.startswith("run=")]
    return run


@pytest.mark.parametrize("command", ["generate", "evaluate"])
def test_a_local_config_says_where_the_latest_run_lies(command, outputs, local_config):
    arguments = prepare_arguments(command, ["run=latest", "seed=0"])
    assert run_of(arguments) == f"run='{outputs / 'train' / 'run'}'"


def test_a_training_that_waits_is_looked_for_there_too(outputs, local_config):
    with pytest.raises(InputError, match=f"below {outputs / 'train'} no training run waits"):
        prepare_arguments("train", ["resume=latest"])


def test_export_looks_there_too(outputs, local_config, tmp_path):
    (outputs / "train" / "run" / "adapter").rename(tmp_path / "moved")
    with pytest.raises(InputError, match=f"no training run with an adapter below {outputs}"):
        export(["run=latest", "output=2024"])


def test_the_command_line_wins_over_the_local_config(local_config, tmp_path):
    assert training_outputs("train", [f"paths.output_dir={tmp_path}"]) == tmp_path / "train"


def test_links_to_folders_are_followed_and_no_run_is_given_twice(tmp_path, outputs):
    root = tmp_path / "elsewhere"
    root.mkdir()
    (root / "linked").symlink_to(outputs / "train")
    (outputs / "train" / "back").symlink_to(root)
    (root / "again").symlink_to(outputs / "train" / "run")
    assert len(list(training_runs(root))) == 1
    assert latest_run(root).path == outputs / "train" / "run"


def test_predictions_that_are_called_adapter_are_no_run(outputs):
    predictions = outputs / "train" / "run" / "predictions" / "test"
    (predictions / "adapter").mkdir(parents=True)
    (predictions / ".hydra").mkdir()
    (predictions / ".hydra" / "config.yaml").write_text("")
    later = (outputs / "train" / "run").stat().st_mtime + 99
    os.utime(predictions / "adapter", (later, later))
    assert latest_run(outputs).path == outputs / "train" / "run"


def test_a_run_and_a_sweep_are_named_so_from_python_and_by_the_program(
    outputs, local_config, tmp_path, capsys
):
    assert named_run("latest").path == outputs / "train" / "run"
    (tmp_path / "recorded" / "sweep").rename(outputs / "train" / "sweep")
    assert sweep(["show", "latest"]) == 0
    assert capsys.readouterr().out.startswith("sweep ")
    with pytest.raises(InputError, match=f"latest: no sweep below {tmp_path / 'none'}"):
        sweep(["show", "latest", f"paths.output_dir={tmp_path / 'none'}"])
    with pytest.raises(InputError, match="trust=true: show takes"):
        sweep(["show", "latest", "trust=true"])


def test_a_wrong_key_of_places_is_one_line_with_the_nearest():
    with pytest.raises(InputError, match=r"the nearest one is paths\.output_dir"):
        export(["run=latest", "output=2024", "paths.outpt_dir=x"])
