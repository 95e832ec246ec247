"""A micro-batch in parts: the same losses and the same gradient, with less kept at once."""

import csv

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from lora_lightning.data.batching import collate
from lora_lightning.training import parts as parts_module
from lora_lightning.training.parts import largest_part, parts_of
from tests.commands import run_command
from tests.gpt2.test_forward import make_rows
from tests.tiny import TRAINING

CPU = torch.device("cpu")


def batch_of(lengths):
    return collate(make_rows(lengths), range(len(lengths)))


@given(lengths=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=12),
       most=st.integers(1, 40))  # fmt: skip
def test_parts_are_the_rows_in_their_order(lengths, most):
    batch = batch_of(lengths)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts_module, "TOKENS_AT_ONCE", most)
        parts = parts_of(batch, batch.joint_positions)
        largest = largest_part(batch.lengths, CPU)
    assert sum(part.share for part in parts) == pytest.approx(1, abs=1e-3)
    assert sum((part.lengths for part in parts), ()) == batch.lengths
    assert sum(largest) == max(sum(part.lengths) for part in parts)
    assert sum(largest) < most + max(batch.lengths)
    for part in parts:
        assert part.boundaries[0] == 0
        assert part.boundaries.diff().tolist() == list(part.lengths)
    for field in ("input_ids", "position_ids"):
        joined = torch.cat([getattr(part, field) for part in parts])
        assert torch.equal(joined, getattr(batch, field))
    targets = torch.cat([part.targets for part in parts])
    assert torch.equal(targets, batch.targets[batch.joint_positions])
    begins = [sum(map(len, (part.input_ids for part in parts[:n]))) for n in range(len(parts))]
    places = [part.positions + begin for part, begin in zip(parts, begins, strict=True)]
    assert torch.equal(torch.cat(places), batch.joint_positions)


def test_rows_without_a_label_are_left_out(monkeypatch):
    monkeypatch.setattr(parts_module, "TOKENS_AT_ONCE", 10)
    batch = batch_of([(5, 5), (5, 5), (5, 5)])
    only_the_last = batch.completion_positions[batch.completion_positions >= batch.boundaries[2]]
    [part] = parts_of(batch, only_the_last)
    assert part.lengths == batch.lengths[2:]
    assert part.share == 1


def test_a_small_micro_batch_is_one_part_and_is_not_copied():
    batch = batch_of([(5, 5), (3, 3)])
    [part] = parts_of(batch, batch.completion_positions)
    assert part.input_ids is batch.input_ids
    assert part.share == 1


def trained(folder, *overrides):
    """Train without dropout; return the adapter, and the logged losses."""
    run_command("train", *TRAINING, f"output_dir={folder}", *overrides)
    with open(folder / "metrics.csv", newline="") as file:
        losses = [float(row["train/loss"]) for row in csv.DictReader(file) if row["train/loss"]]
    return load_file(folder / "adapter" / "adapter_model.safetensors"), losses


@pytest.mark.parametrize(
    "overrides",
    [("method.dropout=0",), ("method.dropout=0", "loss=joint", "data.batch_size=5",
          "trainer.accumulate_grad_batches=2"), ("method=adalora", "method.config.lora_dropout=0")],
    ids=["lora", "all tokens, accumulated", "a method with a loss of its own"],
)  # fmt: skip
def test_training_in_parts_comes_to_the_same_adapter(overrides, tmp_path, monkeypatch):
    whole, losses = trained(tmp_path / "whole", *overrides)
    monkeypatch.setattr(parts_module, "TOKENS_AT_ONCE", 100)
    counts = []
    counted = parts_of
    monkeypatch.setattr(
        "lora_lightning.training.module.parts_of",
        lambda *given: counts.append(len(found := counted(*given))) or found,
    )
    in_parts, again = trained(tmp_path / "parts", *overrides)
    assert max(counts) > 1
    assert again == pytest.approx(losses, abs=1e-5)
    assert whole.keys() == in_parts.keys()
    for name, tensor in whole.items():
        torch.testing.assert_close(in_parts[name], tensor, atol=1e-5, rtol=1e-4)
