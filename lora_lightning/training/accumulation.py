"""The micro-batches of one update, and the gradient that they add up to."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, get_total_norm

from lora_lightning.gpt2.precision import in_double
from lora_lightning.training.throughput import Work


class AccumulationGroup:
    """The micro-batches of one update so far: their losses, what they did, and themselves."""

    def __init__(self) -> None:
        self.losses: list[Tensor] = []
        self.unsmoothed: list[Tensor] = []
        self.batches: list[Any] = []
        self.work = Work()

    def add(self, loss: Tensor, unsmoothed: Tensor, batch: Any, work: Work) -> None:
        """Add a micro-batch with its loss () and the same without label smoothing."""
        self.losses.append(loss)
        self.unsmoothed.append(unsmoothed)
        self.batches.append(batch)
        self.work += work

    def mean_loss(self) -> Tensor:
        """Return the mean of the losses, () float64 where the device has it."""
        return in_double(torch.stack(self.losses)).mean()

    def mean_losses(self) -> list[float]:
        """Return `mean_loss`, and the same of the losses without label smoothing."""
        unsmoothed = torch.stack(self.unsmoothed).double().mean()
        return torch.stack([self.mean_loss(), unsmoothed]).tolist()


def gradient_norm(model: nn.Module, limit: float) -> Tensor:
    """Return the norm of the model's gradient, (), after scaling the gradient down to `limit`.

    Args:
        model: its trained parameters have gradients.
        limit: largest norm to leave; 0 leaves all.
    """
    trained = [p for p in model.parameters() if p.grad is not None]
    if limit:
        return clip_grad_norm_(trained, limit)
    return get_total_norm([p.grad for p in trained if p.grad is not None])
