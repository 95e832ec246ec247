"""A logger of the user's own is told of all that a run writes, like W&B."""

import pytest

from tests.commands import run_command
from tests.tiny import DECODING, TRAINING
from tests.tracking import own_logger

OWN = ("+logger.notes._target_=tests.tracking.own_logger.Notes",)
NO_JAVA = ("protocol.metrics=[bleu]",)


@pytest.fixture(autouse=True)
def told(monkeypatch):
    told = []
    monkeypatch.setattr(own_logger, "told", told)
    return told


def test_it_is_told_of_training_decoding_and_scoring(tmp_path, told):
    run_command("train", *TRAINING, *DECODING, *OWN, *NO_JAVA, "then=[generate,evaluate]",
                f"output_dir={tmp_path / 'run'}")  # fmt: skip
    assert told == [
        "seed 0", "begin_training 8192", "validation", "log_adapters ['adapter', 'adapter_best']",
        "log_predictions test last", "log_evaluation test", "end 0",
    ]  # fmt: skip
    told.clear()
    of_run = (f"run={tmp_path / 'run'}", *OWN)
    run_command("generate", *of_run, *DECODING, "name=again", "trainer=cpu")
    run_command("evaluate", *of_run, "data.limit_test=5", *NO_JAVA, "name=again")
    assert told == [
        "begin", "log_predictions test_again last", "end 0",
        "begin", "log_evaluation test_again", "end 0",
    ]  # fmt: skip


def test_bad_input_begins_nothing(tmp_path, told):
    with pytest.raises(SystemExit):
        run_command(
            "train", *TRAINING, *OWN, "model.path=./nowhere", f"output_dir={tmp_path / 'a'}"
        )
    assert told == ["end 1"]
