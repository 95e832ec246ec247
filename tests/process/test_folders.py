"""A folder belongs to one command at a time."""

import os
import platform

import pytest

from lora_lightning.runs.holder import HOLDER, held_by_this_command
from tests.commands import error_of, run_command
from tests.tiny import DECODING, TRAINING


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("train", TRAINING),
        ("generate", ("trainer=cpu", *DECODING)),
        ("evaluate", ("predictions=absent.jsonl",)),
    ],
)
def test_a_command_leaves_a_folder_alone_in_which_another_one_writes(command, arguments, tmp_path):
    folder = tmp_path / "folder"
    with held_by_this_command(folder):
        error = error_of(command, *arguments, f"output_dir={folder}")
        assert f"process {os.getpid()} on {platform.node()} (" in error
        assert str(folder) in error
    assert not (folder / HOLDER).exists()


def test_the_predictions_of_a_run_are_held_while_it_decodes_after_its_training(tmp_path):
    run = tmp_path / "run"
    predictions = run / "predictions" / "test"
    run_command("train", *TRAINING, *DECODING, f"output_dir={run}")
    with held_by_this_command(predictions):
        error = error_of("train", f"resume={run}", "then=[generate]")
    assert f"{predictions}: process {os.getpid()}" in error
    run_command("train", f"resume={run}", "then=[generate]")
    assert (predictions / "predictions.jsonl").is_file()


def test_what_a_killed_holder_left_holds_nobody(tmp_path):
    (tmp_path / HOLDER).write_text("{")
    with held_by_this_command(tmp_path):
        assert (tmp_path / HOLDER).exists()
