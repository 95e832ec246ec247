"""Another ranking of hypotheses that a search has found, without decoding again.

Their log probabilities do not depend on the length penalty; which hypotheses were found does, as
the search kept the best by its own.
"""

from collections.abc import Sequence

import torch

from lora_lightning.decoding.hypotheses import score


def scores(
    log_probabilities: Sequence[float | None], lengths: Sequence[int], length_penalty: float
) -> list[float]:
    """Return log_probability / length^length_penalty of hypotheses, as the search computes it.

    Args:
        log_probabilities: sums of log p; None for the −inf of a text without tokens.
        lengths: tokens with the end token.
        length_penalty: of the ranking.
    """
    sums = torch.tensor([-torch.inf if p is None else p for p in log_probabilities])
    # Each is a query of one beam: `score` takes one length a query.
    found = score(sums.unsqueeze(1), torch.tensor(lengths), length_penalty).squeeze(1)
    return torch.where(sums.isneginf(), sums, found).tolist()


def best_first(*keys: Sequence[float]) -> list[int]:
    """Return the places of hypotheses from the best on: by the first key, then by the next.

    Hypotheses with equal keys stay in their order.

    Args:
        *keys: a value for each hypothesis; more is better.
    """
    rows = list(zip(*keys, strict=True))
    return sorted(range(len(rows)), key=lambda place: rows[place], reverse=True)
