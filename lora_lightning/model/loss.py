"""Training losses and validation statistics, with logits only where there is a label.

Shapes: `rows`, `time`, `width` and `vocab` as in the model; `labels` is the number of positions
that a mask keeps. Targets already stand one to the left (`targets[:, t]` is what the model should
say after token t), so nothing is shifted here.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from torch import Tensor
from torch.nn import functional

from lora_lightning.errors import InputError

COUNT_OFFSET = 1e-4  # the reference divides by the number of labels plus this
LEAST_SMOOTHING = 1e-4  # up to here the reference takes the plain cross-entropy


class LabelledBatch(Protocol):
    """What a loss needs to know of a batch."""

    @property
    def targets(self) -> Tensor:
        """Next token ids, (rows, time) int64."""

    @property
    def completion_mask(self) -> Tensor:
        """True where the target is a completion token (`clm`), (rows, time) bool."""

    @property
    def joint_mask(self) -> Tensor:
        """True where there is a target at all (`jlm`), (rows, time) bool."""

    @property
    def row_ids(self) -> Sequence[int]:
        """Number of each row in the data set."""


class ValidationStatistics(NamedTuple):
    """One batch's share of the two validation losses; all unsmoothed, over completion tokens."""

    batch_loss: Tensor  # () float32; the reference's validation loss is its mean over batches
    total: Tensor  # () float32, sum of negative log-likelihoods in nats
    labels: Tensor  # () int64; sum of totals / sum of labels over all batches: loss per token


def label_hidden_states(hidden: Tensor, mask: Tensor) -> Tensor:
    """Gather the hidden states of the positions that have a label.

    Args:
        hidden: (rows, time, width).
        mask: (rows, time) bool.

    Returns:
        (labels, width), row by row.
    """
    return hidden[mask]


def label_logits(hidden: Tensor, head_weight: Tensor, mask: Tensor) -> Tensor:
    """Project the labelled positions, and only those, to the vocabulary.

    Args:
        hidden: last hidden states, (rows, time, width), in the model's dtype.
        head_weight: tied output projection, (vocab, width).
        mask: (rows, time) bool.

    Returns:
        (labels, vocab) float32, whatever the model's dtype: a loss in bfloat16 has two digits.
    """
    return functional.linear(label_hidden_states(hidden, mask), head_weight).float()


def cross_entropy_sum(logits: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Sum of (1 - ε)·(-log p[target]) + ε·mean over the vocabulary of (-log p), in nats.

    Args:
        logits: (labels, vocab) float32.
        targets: (labels,) int64.
        label_smoothing: ε in 0..1; up to 1e-4 it counts as 0, as in the reference.

    Returns:
        () float32; 0 where there are no labels.
    """
    smoothing = label_smoothing if label_smoothing > LEAST_SMOOTHING else 0.0
    return functional.cross_entropy(logits, targets, reduction="sum", label_smoothing=smoothing)


def batch_loss(total: Tensor, labels: Tensor) -> Tensor:
    """Mean over a batch's labels as the reference takes it, total / (labels + 1e-4); all ()."""
    return total / (labels + COUNT_OFFSET)


def validation_statistics(
    hidden: Tensor, head_weight: Tensor, batch: LabelledBatch
) -> ValidationStatistics:
    """Measure a validation batch: never smoothed, and completion tokens only, whatever is trained.

    A batch without labels has loss 0, which the reference's mean over batches includes.

    Args:
        hidden: last hidden states, (rows, time, width).
        head_weight: tied output projection, (vocab, width).
        batch: what the hidden states were computed from.
    """
    mask = batch.completion_mask
    logits = label_logits(hidden, head_weight, mask)
    total, labels = cross_entropy_sum(logits, batch.targets[mask]), mask.sum()
    return ValidationStatistics(batch_loss(total, labels), total, labels)


@dataclass(frozen=True)
class TrainingLoss(ABC):
    """Cross-entropy, averaged over the batch positions that a mask keeps.

    Args:
        label_smoothing: ε in 0..1, the share of the loss that asks for the uniform distribution.
    """

    label_smoothing: float = 0.0

    @abstractmethod
    def mask(self, batch: LabelledBatch) -> Tensor:
        """Return which positions are trained on, (rows, time) bool."""

    def __call__(self, hidden: Tensor, head_weight: Tensor, batch: LabelledBatch) -> Tensor:
        """Compute the loss of one micro-batch.

        Args:
            hidden: last hidden states, (rows, time, width).
            head_weight: tied output projection, (vocab, width).
            batch: what the hidden states were computed from.

        Returns:
            () float32, differentiable in `hidden` and `head_weight`.

        Raises:
            InputError: no position of the batch has a label.
        """
        mask = self.mask(batch)
        targets = batch.targets[mask]
        if len(targets) == 0:
            raise InputError(
                f"the batch of rows {list(batch.row_ids)} has no token to learn from: each "
                "context fills data.max_length; raise it, or take these rows out"
            )
        logits = label_logits(hidden, head_weight, mask)
        total = cross_entropy_sum(logits, targets, self.label_smoothing)
        return batch_loss(total, mask.sum())


@dataclass(frozen=True)
class CompletionLoss(TrainingLoss):
    """Loss over the completion, its end token included (the reference's `clm`)."""

    def mask(self, batch: LabelledBatch) -> Tensor:
        """Return the positions whose target is a completion token, (rows, time) bool."""
        return batch.completion_mask


@dataclass(frozen=True)
class JointLoss(TrainingLoss):
    """Loss over context and completion (the reference's `jlm`)."""

    def mask(self, batch: LabelledBatch) -> Tensor:
        """Return the positions that have a target, (rows, time) bool."""
        return batch.joint_mask
