"""What is bit-equal, and what is not: the cheap lines of docs/determinism.md."""

import pytest

from lora_lightning.tracking.csv_tables import read_metrics
from tests.commands import run_command
from tests.tiny import write_rows


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    """Train on 9 rows, validate on 7 in batches of 4, and return the run folder."""
    data = tmp_path_factory.mktemp("data")
    rows = [{"context": f"name : {chr(65 + i)}", "completion": f"{i} eats."} for i in range(9)]
    settings = [
        "trainer=cpu", "trainer.max_steps=4", "trainer.log_every_n_steps=1", "data=jsonl",
        f"data.train={write_rows(data / 'train.jsonl', rows)}",
        f"data.valid={write_rows(data / 'valid.jsonl', rows[:7])}",
        "data.batch_size=2", "method.dropout=0.1", "optimizer.lr=1e-2",
    ]  # fmt: skip

    def run(*overrides):
        folder = tmp_path_factory.mktemp("runs") / "run"
        run_command("train", *settings, *overrides, f"output_dir={folder}")
        return folder

    return run


@pytest.fixture(scope="module")
def plain(train):
    return train()


def curve(folder):
    rows = read_metrics(folder / "metrics.csv")
    return [{k: v for k, v in row.items() if "per_second" not in k} for row in rows]


def last_validation(folder):
    return [row for row in curve(folder) if "val/loss" in row][-1]


def adapter(folder):
    return (folder / "adapter" / "adapter_model.safetensors").read_bytes()


def test_what_only_watches_a_run_alters_no_number(train, plain):
    watched = train("logger=tensorboard", "trainer.save_every_n_steps=1",
                    "trainer.progress_every_n_seconds=0.001", "paths.cache_dir=null")  # fmt: skip
    assert curve(watched) == curve(plain)
    assert adapter(watched) == adapter(plain)


def test_the_validation_interval_alters_no_weight(train, plain):
    often = train("trainer.val_check_interval=1")
    assert len(curve(often)) > len(curve(plain))
    assert adapter(often) == adapter(plain)
    # The reference completes the last batch by other random rows in every validation.
    assert last_validation(often) != last_validation(plain)


def test_without_round_up_rows_the_validation_interval_alters_no_loss(train):
    rarely, often = (
        train("data.round_up=none", f"trainer.val_check_interval={interval}")
        for interval in (100, 1)
    )
    assert last_validation(often) == last_validation(rarely)
