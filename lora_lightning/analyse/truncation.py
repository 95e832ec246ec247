"""What an adapter is worth when it is cut to each rank up to its own, without training."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from tqdm import tqdm
from transformers import GPT2LMHeadModel

from lora_lightning.analyse.updates import truncate
from lora_lightning.data.batching import Batch
from lora_lightning.gpt2.forward import EAGER, packed_hidden_states
from lora_lightning.methods.inject import lora_layers
from lora_lightning.training.loss import validation_statistics
from lora_lightning.training.validation import ValidationSums


@dataclass(frozen=True)
class Point:
    """A rank, and the loss there: mean over labelled tokens, in nats."""

    rank: int
    loss_per_token: float


def truncation_curve(model: GPT2LMHeadModel, batches: Sequence[Batch]) -> list[Point]:
    """Return the loss of the adapter cut to each rank, from 0 (the base) to its own.

    The adapter is cut further and further, and lost.

    Args:
        model: its adapters unmerged.
        batches: validation rows.
    """
    largest = max(layer.rank for layer in lora_layers(model).values())
    points = []
    for rank in tqdm(range(largest, -1, -1), desc="truncation", unit="rank"):
        truncate(model, rank)
        points.append(Point(rank, loss_per_token(model, batches)))
    return points[::-1]


@torch.inference_mode()
def loss_per_token(model: GPT2LMHeadModel, batches: Sequence[Batch]) -> float:
    """Return the mean negative log-likelihood of the completions' tokens, in nats."""
    model.eval()
    sums = torch.stack([torch.stack(_statistics(model, batch)) for batch in batches]).double()
    labelled = int((sums[:, 2] > 0).sum())
    totals = ValidationSums(len(batches), labelled, *sums.sum(0).tolist())
    return totals.metrics()["val/loss_per_token"]


def _statistics(model: GPT2LMHeadModel, batch: Batch) -> tuple[torch.Tensor, ...]:
    positions = batch.completion_positions
    hidden = packed_hidden_states(model.transformer, batch, positions, EAGER)
    return validation_statistics(hidden, model.lm_head.weight, batch.targets[positions])
