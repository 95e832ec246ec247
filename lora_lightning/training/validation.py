"""What a validation says: the reference's average over batches, and the loss per token."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from lora_lightning.errors import InputError
from lora_lightning.training.finite import NotFiniteError

LABELLED_SHARE = "labelled_share"
"""Share of the last validation's batches that have a label; kept beside its metrics."""

DECODING_SECONDS = "decoding_seconds"
"""What the texts of the last validation took; kept likewise."""
AVERAGES = ("val/loss", "val/loss_per_token")


@dataclass(frozen=True)
class ValidationSums:
    """Sums over the batches of all ranks.

    Attributes:
        batches: how many.
        labelled: how many of them have a label.
        losses: sum of the batches' losses; one without a label has loss 0.
        negative_log_likelihood: in nats.
        labels: labelled tokens.
    """

    batches: float
    labelled: float
    losses: float
    negative_log_likelihood: float
    labels: float

    def metrics(self) -> dict[str, float]:
        """Return both averages and their perplexities.

        `val/loss` is the reference's, over all batches; `val/loss_per_token` knows only labels.

        Raises:
            InputError: no batch has a label.
        """
        if not self.labels:
            raise InputError(
                "no row of the validation has a token to score: each context fills "
                "data.max_length; raise it, or set trainer.limit_val_batches=0"
            )
        loss = self.losses / self.batches
        per_token = self.negative_log_likelihood / self.labels
        return {
            "val/loss": loss,
            "val/perplexity": perplexity(loss),
            "val/loss_per_token": per_token,
            "val/perplexity_per_token": perplexity(per_token),
        }


def objectives(latest: Mapping[str, float]) -> dict[str, float]:
    """Return the metrics of the last validation as a sweep may compare them.

    Where batches have no label, the reference's average is the lower the more there are; here they
    are left out of it.

    Args:
        latest: a run's latest metrics, and under `LABELLED_SHARE` that share.
    """
    metrics = {name: value for name, value in latest.items() if name.startswith("val/")}
    if (share := latest.get(LABELLED_SHARE, 1.0)) < 1 and "val/loss" in metrics:
        loss = metrics["val/loss"] / share
        metrics |= {"val/loss": loss, "val/perplexity": perplexity(loss)}
    return metrics


def is_finite(metrics: Mapping[str, float]) -> bool:
    """Whether the averages of a validation are finite."""
    return all(math.isfinite(metrics[name]) for name in AVERAGES)


def require_finite(metrics: Mapping[str, float], update: int) -> None:
    """Check the averages of a validation; a perplexity may be beyond what a number can be.

    Args:
        metrics: as `ValidationSums.metrics` gives them.
        update: after which it was.

    Raises:
        NotFiniteError: an average is not finite.
    """
    for name in AVERAGES:
        if not math.isfinite(metrics[name]):
            raise NotFiniteError(
                f"validation after update {update}: {name} is {metrics[name]}; lower optimizer.lr "
                "or set trainer.gradient_clip_val; before any update, the base or the adapter that "
                "was given holds such numbers"
            )


def perplexity(loss: float) -> float:
    """Return e to the loss, infinity where that is out of reach."""
    return math.exp(loss) if loss < 700 else math.inf
