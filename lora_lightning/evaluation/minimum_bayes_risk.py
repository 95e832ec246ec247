"""Minimum Bayes risk: the text that is on average most like what the model may have meant.

Kumar and Byrne (2004), Eikema and Aziz (2020). Of K hypotheses with weights w that sum to 1,

    choose arg max_i Σ_j w_j metric(h_i, h_j)

over all j, i itself included.
"""

import math
from collections.abc import Callable, Sequence

from lora_lightning.evaluation.sentence_metrics import Pair, Words


def expected_scores(
    weights: Sequence[Sequence[float]], similarities: Sequence[Sequence[Sequence[float]]]
) -> list[list[float]]:
    """Return each hypothesis' expected score, of each context.

    Args:
        weights: of the hypotheses of each context.
        similarities: metric(h_i, h_j) by context, i and j.
    """
    return [
        [math.fsum(w * score for w, score in zip(of_context, row, strict=True)) for row in rows]
        for of_context, rows in zip(weights, similarities, strict=True)
    ]


def similarities(
    contexts: Sequence[Sequence[Words]], metric: Callable[[Sequence[Pair]], list[float]]
) -> list[list[list[float]]]:
    """Return metric(h_i, h_j) by context, i and j; equal pairs are computed once.

    Args:
        contexts: the tokens of each context's hypotheses.
        metric: one of `SENTENCE_METRICS`.
    """
    keys = [[tuple(text) for text in texts] for texts in contexts]
    asked = dict.fromkeys((one, other) for texts in keys for one in texts for other in texts)
    found = metric([Pair(one, [other]) for one, other in asked])
    known = dict(zip(asked, found, strict=True))
    return [[[known[one, other] for other in texts] for one in texts] for texts in keys]


def probabilities(scores: Sequence[float]) -> list[float]:
    """Return weights that sum to 1, proportional to exp(score); −inf weighs nothing."""
    highest = max(scores)
    if highest == -math.inf:
        return [1 / len(scores)] * len(scores)
    weights = [math.exp(score - highest) for score in scores]
    return [weight / sum(weights) for weight in weights]
