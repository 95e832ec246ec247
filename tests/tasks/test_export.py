"""A run's adapter in other formats decodes as the run does."""

import json
from pathlib import Path

import pytest

from lora_lightning.errors import InputError
from lora_lightning.export import export
from tests.commands import run_command
from tests.tiny import DECODING, TRAINING, read_rows


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    run_command("train", *TRAINING, *DECODING, "optimizer.lr=1e-2", "then=[generate]",
                f"output_dir={folder}")  # fmt: skip
    return folder


@pytest.mark.parametrize(("format", "key"), [
    ("peft", "adapter"), ("loralib", "adapter"), ("merged", "model.path"),
])  # fmt: skip
def test_an_exported_run_gives_the_same_texts(run, format, key, tmp_path):
    output = export([f"run={run}", f"format={format}", f"output={tmp_path / 'exported'}"])
    run_command("generate", f"{key}={output}", *DECODING, "trainer=cpu",
                f"output_dir={tmp_path / 'decoded'}")  # fmt: skip
    expected = read_rows(run / "predictions" / "test" / "predictions.jsonl")
    actual = read_rows(tmp_path / "decoded" / "predictions.jsonl")
    assert [record["text"] for record in actual] == [record["text"] for record in expected]


def test_training_goes_on_from_an_adapter(run, tmp_path):
    run_command("train", *TRAINING, f"adapter={run / 'adapter'}", "trainer.max_steps=1",
                "optimizer.lr=0", f"output_dir={tmp_path / 'run'}")  # fmt: skip
    before, after = (
        (folder / "adapter" / "adapter_model.safetensors").read_bytes()
        for folder in (run, tmp_path / "run")
    )
    assert before == after


def test_a_peft_adapter_presets_the_method(run, tmp_path, capsys):
    other = tmp_path / "rank_3"
    run_command("train", *TRAINING, "method.rank=3", f"output_dir={other}")
    run_command("generate", f"adapter={other / 'adapter'}", "trainer=cpu", "text=name : X",
                "generation=greedy")  # fmt: skip
    assert capsys.readouterr().out


def test_an_existing_output_is_not_overwritten(run, tmp_path):
    output = tmp_path / "exported"
    output.write_text("mine")
    with pytest.raises(InputError, match="overwrite=true"):
        export([f"run={run}", "format=loralib", f"output={output}"])
    assert output.read_text() == "mine"


@pytest.mark.parametrize("arguments", [["run=latest"], ["format=onnx", "output=x", "run=latest"],
                                       ["outptu=x"]])  # fmt: skip
def test_a_wrong_key_or_value_is_named(arguments):
    with pytest.raises(InputError, match=r"output|format|outptu"):
        export(arguments)


def test_the_base_of_a_run_is_recorded(run):
    config = json.loads((run / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"].endswith("gpt2_tiny")


def test_an_output_is_the_path_that_it_looks_like(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert export([f"run={run}", "output=2024"]) == Path("2024")
    assert export([f"run={run}", "output=~/x (v2)"]) == tmp_path / "home" / "x (v2)"
    assert (tmp_path / "2024" / "adapter_config.json").is_file()
    assert (tmp_path / "home" / "x (v2)" / "adapter_config.json").is_file()
