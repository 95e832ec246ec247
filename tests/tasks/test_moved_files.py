"""A run names its base and its data so that they are found from anywhere, and after a move."""

import json

import pytest

from lora_lightning import load_run
from lora_lightning.config.overrides import stored_value
from lora_lightning.export import export
from tests.commands import error_of, run_command
from tests.goldens import ROOT
from tests.tiny import read_rows, write_rows

ROW = {"context": "name : Vaults | food : Chinese", "completion": "Vaults serves Chinese food ."}
BASE = ROOT / "data" / "sample" / "gpt2_tiny"
SETTINGS = ("trainer=cpu", "trainer.max_steps=1", "data=jsonl", "data.batch_size=2",
            "generation.num_beams=1", "generation.max_new_tokens=4")  # fmt: skip
FILES = {"model.path": "base", "data.train": "rows.jsonl", "data.valid": "rows.jsonl",
         "data.test": "rows.jsonl"}  # fmt: skip


def places(folder):
    """Overrides that give each file anew, in a folder."""
    return [f"{key}={folder / name}" for key, name in FILES.items()]


@pytest.fixture
def moved(tmp_path, monkeypatch):
    """A run that was started beside its files with relative paths; then the files moved."""
    start = tmp_path / "start"
    start.mkdir()
    (start / "base").mkdir()
    for file in BASE.iterdir():
        (start / "base" / file.name).symlink_to(file)
    write_rows(start / "rows.jsonl", [ROW] * 4)
    monkeypatch.chdir(start)
    relative = [f"{key}={name}" for key, name in FILES.items()]
    run_command("train", *SETTINGS, *relative, f"output_dir={tmp_path / 'run'}")
    monkeypatch.chdir("/")
    before = load_run(tmp_path / "run").generate([ROW["context"]])
    adapter = json.loads((tmp_path / "run" / "adapter" / "adapter_config.json").read_text())
    assert adapter["base_model_name_or_path"] == str(start / "base")
    start.rename(tmp_path / "moved")
    return tmp_path / "run", tmp_path / "moved", before


def test_a_run_with_relative_paths_is_used_from_anywhere_and_after_a_move(moved, tmp_path):
    run, files, before = moved
    error = error_of("generate", f"run={run}")  # and the hub is not asked for a stranger's `base`
    assert f"model.path={tmp_path / 'start' / 'base'}: no such folder" in error
    assert load_run(run, base=files / "base").generate([ROW["context"]]) == before
    export([f"run={run}", f"output={tmp_path / 'exported'}", f"model.path={files / 'base'}"])
    run_command("generate", f"run={run}", *places(files))
    [record] = read_rows(run / "predictions" / "test" / "predictions.jsonl")
    assert record["text"] == before[0]


def test_a_run_goes_on_with_moved_files_where_their_content_is_the_same(moved):
    run, files, _ = moved
    config = run / ".hydra" / "config.yaml"
    for file in (config, run / "config.yaml"):  # as if it had been cut off
        file.write_text(file.read_text().replace("max_steps: 1", "max_steps: 2"))
    (run / "result.json").unlink()
    run_command("train", f"resume={run}", *places(files))
    assert json.loads((run / "run.json").read_text())["resumed_at"] == [1]
    write_rows(files / "rows.jsonl", [ROW | {"completion": "Another ."}] * 4)
    error = error_of("train", f"resume={run}", *places(files))
    assert "changed: content of rows.jsonl" in error


@pytest.mark.parametrize(
    ("key", "value", "stored"),
    [
        ("model.path", "base", "{folder}/base"),
        ("model.path", "openai-community/gpt2", "openai-community/gpt2"),
        ("model.tokenizer", "~/base", "{home}/base"),
        ("adapter", "someone/adapter", "someone/adapter"),
        ("data.train", "~/rows.jsonl", "{home}/rows.jsonl"),
        ("data.train", "rows.jsonl", "{folder}/rows.jsonl"),
        ("data.train", "${paths.data_dir}/rows.jsonl", "${{paths.data_dir}}/rows.jsonl"),
        ("name", "base", "base"),
    ],
)
def test_a_path_is_stored_absolute_and_a_name_of_the_hub_as_it_is(
    tmp_path, monkeypatch, key, value, stored
):
    home = tmp_path / "home"
    for folder in (tmp_path, home):
        (folder / "base").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    assert stored_value(key, value, tmp_path) == stored.format(folder=tmp_path, home=home)
