"""Training from the command line gives the reference's golden runs, step by step."""

import csv
import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.commands import run_command, run_process
from tests.goldens import golden

LOSS = 1e-5
RATE = 1e-12
SETTINGS = {
    "a_readme": ["scheduler.warmup_steps=5", "trainer.max_epochs=3"],
    "b_accumulate_clip_cosine": [
        "scheduler=cosine",
        "scheduler.warmup_steps=6",
        "trainer.accumulate_grad_batches=2",
        "trainer.gradient_clip_val=1.0",
        "trainer.max_steps=15",
        "optimizer.lr=2e-3",
        "data.max_length=128",
    ],
    "c_jlm_constant": [
        "scheduler=constant",
        "scheduler.warmup_steps=8",
        "loss=joint",
        "loss.label_smoothing=0",
        "optimizer.lr=1e-3",
        "optimizer.correct_bias=false",
        "optimizer.no_decay_bias=true",
        "optimizer.betas=[0.9,0.98]",
        "data.max_length=64",
        "trainer.max_epochs=2",
        "seed=10",
    ],
    "g_two_ranks": [
        "trainer=ddp_cpu",
        "scheduler.warmup_steps=2",
        "trainer.accumulate_grad_batches=2",
        "trainer.max_epochs=2",
        "optimizer.lr=2e-3",
        "data.max_length=96",
        "data.batch_size=4",
    ],
    "lora_e2e": [
        "scheduler.warmup_steps=40",
        "trainer.max_epochs=1",
        "optimizer.lr=3e-3",
        "data.max_length=128",
    ],
}


def overrides(name: str, run: Path) -> list[str]:
    folder = golden("lora", name)
    return [
        "data=jsonl",
        f"data.train={folder}/train_rows.jsonl",
        f"data.valid={folder}/valid_rows.jsonl",
        f"model.path={golden('tiny_model')}",
        f"adapter={folder}/lora_init.safetensors",
        "method.dropout=0",
        "optimizer=adamw_reference",
        "scheduler.per=micro_step",
        "seed=110",
        "trainer=cpu",
        "trainer.log_every_n_steps=1",
        "trainer.validate_first=true",
        f"output_dir={run}",
        *SETTINGS[name],
    ]


def check_run(name: str, run: Path) -> None:
    check_losses(name, run)
    check_validations(name, run)


def check_losses(name: str, run: Path, updates: int | None = None) -> None:
    """Check losses and rates of all updates, or of so many of the first ones."""
    with (run / "metrics.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    trained = [row for row in rows if row["train/loss"]]
    ranks = [
        [json.loads(line) for line in path.read_text().splitlines()]
        for path in sorted(golden("lora", name).glob("steps*.jsonl"))
    ]
    every = json.loads(golden("lora", name, "run.json").read_text())["settings"]["grad_acc"]
    expected = updates or len(ranks[0]) // every
    assert [int(row["step"]) for row in trained] == list(range(1, expected + 1))
    for row in trained:
        group = slice((int(row["step"]) - 1) * every, int(row["step"]) * every)
        losses = [step["loss"] for steps in ranks for step in steps[group]]
        assert float(row["train/loss"]) == pytest.approx(sum(losses) / len(losses), abs=LOSS)
        assert float(row["train/lr"]) == pytest.approx(ranks[0][group][-1]["lr"], abs=RATE)


def check_validations(name: str, run: Path) -> None:
    with (run / "metrics.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    expected = json.loads(golden("lora", name, "run.json").read_text())
    validated = [float(row["val/loss"]) for row in rows if row["val/loss"]]
    if name != "g_two_ranks":  # which has rank 0's share alone
        assert validated[0] == pytest.approx(expected["valid_loss_before"], abs=LOSS)
    if name in ("a_readme", "b_accumulate_clip_cosine", "lora_e2e"):
        # Elsewhere our validation at each epoch's end draws other round-up rows.
        assert validated[-1] == pytest.approx(expected["valid_loss_after"], abs=LOSS)


def check_adapter(name: str, run: Path, place: str = "final") -> None:
    """PEFT's layout holds q and v as one block: A stacked, B on the diagonal, k between them 0."""
    saved = load_file(run / "adapter" / "adapter_model.safetensors")
    final = {
        key.removeprefix(f"{place}.transformer."): tensor
        for key, tensor in load_file(golden("lora", name, "lora_steps.safetensors")).items()
        if key.startswith(f"{place}.")
    }
    for key, expected in final.items():
        actual = saved[f"base_model.model.transformer.{key}.weight"]
        if key.endswith("lora_B"):
            width, rank = expected.shape[0] // 2, expected.shape[1]
            query, value = actual[:width, :rank], actual[2 * width :, rank:]
            assert not actual[width : 2 * width].any()
            actual = query.new_empty(expected.shape)
            actual[:width], actual[width:] = query, value
        assert actual.numpy() == pytest.approx(expected.numpy(), abs=5e-6, rel=2e-5)


@pytest.mark.parametrize("name", [name for name in SETTINGS if name != "g_two_ranks"])
def test_losses_rates_and_adapter_follow_the_golden_run(name, tmp_path):
    run_command("train", *overrides(name, tmp_path / "run"))
    check_run(name, tmp_path / "run")
    check_adapter(name, tmp_path / "run")


def test_two_ranks_follow_the_golden_run(tmp_path):
    run_process("train.py", *overrides("g_two_ranks", tmp_path / "run"))
    check_run("g_two_ranks", tmp_path / "run")
    check_adapter("g_two_ranks", tmp_path / "run")
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert [rank["rank"] for rank in record["ranks"]] == [0, 1]
    assert len({rank["config_sha256"] for rank in record["ranks"]}) == 1
