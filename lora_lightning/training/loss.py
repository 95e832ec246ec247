"""Training losses and validation statistics, with logits only where there is a label.

Shapes: `tokens` counts the tokens of a micro-batch's rows, `labels` the positions among them that
have a label; `width` and `vocab` as in the model. Targets already stand one to the left
(`targets[t]` is what the model should say after token t), so nothing is shifted here.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from lora_lightning.errors import InputError
from lora_lightning.ranges import Share, ranged
from lora_lightning.training.cross_entropy import (
    CrossEntropy,
    linear_cross_entropy,
    linear_cross_entropy_sum,
)

COUNT_OFFSET = 1e-4  # the reference divides by the number of labels plus this
LEAST_SMOOTHING = 1e-4  # up to here the reference takes the plain cross-entropy


class LabelledBatch(Protocol):
    """What a loss needs to know of a batch."""

    @property
    def completion_positions(self) -> Tensor:
        """Positions whose target is a completion token (`clm`), (labels,) int64."""

    @property
    def joint_positions(self) -> Tensor:
        """Positions that have a target at all (`jlm`), (labels,) int64."""

    @property
    def row_ids(self) -> Sequence[int]:
        """Number of each row in the data set."""


class ValidationStatistics(NamedTuple):
    """One batch's share of the two validation losses; all unsmoothed, over completion tokens."""

    batch_loss: Tensor  # () float32; the reference's validation loss is its mean over batches
    total: Tensor  # () float32, sum of negative log-likelihoods in nats
    labels: Tensor  # () float32; sum of totals / sum of labels over all batches: loss per token


def batch_loss(total: Tensor, labels: int) -> Tensor:
    """Mean over a batch's labels as the reference takes it, total / (labels + 1e-4), ()."""
    return total / (labels + COUNT_OFFSET)


@torch.no_grad()
def validation_statistics(
    hidden: Tensor, head_weight: Tensor, targets: Tensor
) -> ValidationStatistics:
    """Measure a validation batch: never smoothed, and completion tokens only, whatever is trained.

    A batch without labels has loss 0, which the reference's mean over batches includes.

    Args:
        hidden: last hidden states of the completion positions, (labels, width).
        head_weight: tied output projection, (vocab, width).
        targets: (labels,) int64.
    """
    total = linear_cross_entropy_sum(hidden, head_weight, targets)
    labels = total.new_tensor(len(targets))
    return ValidationStatistics(batch_loss(total, len(targets)), total, labels)


@dataclass(frozen=True)
class TrainingLoss(ABC):
    """Cross-entropy, averaged over the labelled positions of a micro-batch.

    Args:
        label_smoothing: ε in 0..1, the share of the loss that asks for the uniform distribution;
            up to 1e-4 it counts as 0, as in the reference.
    """

    label_smoothing: Share = 0.0

    @abstractmethod
    def labelled(self, batch: LabelledBatch) -> Tensor:
        """Return which positions are trained on, (labels,) int64; there may be none."""

    def positions(self, batch: LabelledBatch) -> Tensor:
        """Return the positions whose hidden states the loss needs, (labels,) int64.

        Raises:
            InputError: no position of the batch has a label.
        """
        positions = self.labelled(batch)
        if len(positions) == 0:
            raise InputError(
                f"the batch of rows {list(batch.row_ids)} has no token to learn from: each "
                "context fills data.max_length; raise it, or take these rows out"
            )
        return positions

    def __call__(
        self, hidden: Tensor, head_weight: Tensor, targets: Tensor, share: float = 1.0
    ) -> CrossEntropy:
        """Compute the loss of one micro-batch, and the same without smoothing.

        Args:
            hidden: last hidden states of `positions`, (labels, width).
            head_weight: tied output projection, (vocab, width).
            targets: next token ids at `positions`, (labels,) int64.
            share: what the caller will multiply the loss with before differentiating, 1 /
                accumulated micro-batches.

        Returns:
            The means over the micro-batch's labels, as `batch_loss` takes them; the smoothed one is
            differentiable in `hidden` and `head_weight`.
        """
        smoothing = self.label_smoothing if self.label_smoothing > LEAST_SMOOTHING else 0.0
        factor = share / (len(targets) + COUNT_OFFSET)
        sums = linear_cross_entropy(hidden, head_weight, targets, smoothing, factor)
        return CrossEntropy(*(batch_loss(total, len(targets)) for total in sums))


@ranged("loss")
@dataclass(frozen=True)
class CompletionLoss(TrainingLoss):
    """Loss over the completion, its end token included (the reference's `clm`)."""

    def labelled(self, batch: LabelledBatch) -> Tensor:
        """Return the positions whose target is a completion token, (labels,) int64."""
        return batch.completion_positions


@ranged("loss")
@dataclass(frozen=True)
class JointLoss(TrainingLoss):
    """Loss over context and completion (the reference's `jlm`)."""

    def labelled(self, batch: LabelledBatch) -> Tensor:
        """Return the positions that have a target, (labels,) int64."""
        return batch.joint_positions
