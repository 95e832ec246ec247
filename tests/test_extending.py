"""The files and commands of docs/extending.md, run as they stand."""

import json
import re
import shlex

import pytest

from tests.commands import run_command
from tests.goldens import ROOT
from tests.tiny import DECODING, TRAINING

PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
FILES = re.findall(r"^`user/(\S+)`\n\n```\w+\n(.*?)^```", PAGE, re.M | re.S)
COMMANDS = re.findall(r"^python (.+)$", PAGE, re.M)


@pytest.fixture(scope="module")
def user(tmp_path_factory):
    """The folder of the user's files."""
    folder = tmp_path_factory.mktemp("extending") / "user"
    for name, content in FILES:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    reviews = folder / "reviews"
    reviews.mkdir()
    for split in ("train", "valid", "test"):
        rows = "".join(f'lamp {i},{i % 6},"A lamp, good for {i % 6}."\n' for i in range(24))
        (reviews / f"{split}.csv").write_text(f"product,stars,review\n{rows}", encoding="utf-8")
    return folder


def run(user, number, *settings):
    """Run a command of the page, its user/ being the fixture's."""
    script, *arguments = shlex.split(COMMANDS[number].replace("user/", f"{user}/"))
    run_command(script.removesuffix(".py"), *arguments, f"paths.user_dir={user}", *settings)


def test_a_method_of_ones_own_is_trained_decoded_and_scored(user, tmp_path):
    folder = tmp_path / "run"
    run(user, 0, *TRAINING, *DECODING, "protocol.metrics=[bleu]", f"output_dir={folder}")
    assert (folder / "evaluation" / "test" / "metrics.json").is_file()
    run(user, 2, f"run={folder}", "data.limit_test=5")
    scores = json.loads((folder / "evaluation" / "test" / "metrics.json").read_text("utf-8"))
    assert scores["scores"]["length_ratio"] > 0
    assert "learnt" in (folder / "adapter" / "lora_lightning.json").read_text("utf-8")


def test_a_data_set_of_ones_own_is_trained_on(user, tmp_path):
    folder = tmp_path / "run"
    run(user, 1, "trainer=cpu", "trainer.limit_val_batches=1", f"output_dir={folder}")
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    assert set(record["data"]) == {"train.csv", "valid.csv"}
