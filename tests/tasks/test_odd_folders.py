"""The three commands in a folder whose name has what Hydra's grammar and shells give a meaning."""

import json
import shutil

import pytest

from lora_lightning import load_run
from lora_lightning.config.overrides import quote
from tests.commands import run_command
from tests.goldens import ROOT
from tests.tiny import DECODING, TRAINING, read_rows

SAMPLE = ROOT / "data" / "sample"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Such a folder, with data, base and a run in it, and the working folder of this module."""
    folder = tmp_path_factory.mktemp("odd") / "ein Größerer, Nº=1 (it's) [日本] & #~"
    shutil.copytree(SAMPLE / "e2e", folder / "my, e2e=1")
    shutil.copytree(SAMPLE / "gpt2_tiny", folder / "base")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_command("train", *TRAINING, *DECODING, "output_dir=run", "model.path=base",
                    f"data.dir={quote('my, e2e=1')}", "trainer.max_steps=2")  # fmt: skip
        yield folder


def test_a_run_is_trained_decoded_and_scored_there(folder):
    run_command("generate", "run=run", "trainer=cpu")
    run_command("evaluate", "run=run", "protocol.metrics=[bleu]")
    assert len(read_rows(folder / "run" / "predictions" / "test" / "predictions.jsonl")) == 5
    scores = json.loads((folder / "run" / "evaluation" / "test" / "metrics.json").read_text())
    assert scores["scores"]["bleu"] >= 0


def test_its_whole_path_can_be_given_from_elsewhere_and_so_can_the_data(
    folder, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    run_command("generate", f"run={quote(str(folder / 'run'))}", f"name={quote('ähnlich')}",
                "trainer=cpu", "data.limit_test=2")  # fmt: skip
    assert (
        len(read_rows(folder / "run" / "predictions" / "test" / "ähnlich" / "predictions.jsonl"))
        == 2
    )


def test_the_python_door_opens_it_from_elsewhere(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = load_run(folder / "run")
    assert run.config.data.dir == str(folder / "my, e2e=1")
    assert run.adapter_path == folder / "run" / "adapter"
    assert len(run.predictions("valid")) > 0
