r"""CIDEr as the COCO caption code in e2e-metrics computes it (Vedantam et al. 2015, σ = 6).

With df = number of *segments* in whose references an n-gram occurs and N = number of segments, a
text is the vector of count · idf, idf = ln N - ln max(1, df), one vector for each n = 1 … 4. Each
hypothesis h is compared with each reference r of its segment:

    sim_n = Σ_{n-grams of h} min(h, r) · r / (‖h‖ ‖r‖) · exp(-δ² / (2 · 6²))
    CIDEr = 10 · mean over n, references, then segments

δ = difference of the numbers of *bigrams*. This is neither the paper's CIDEr nor CIDEr-D with
another idf. The idf comes from the very references that are scored: a subset's score is not the
mean of its segments' scores, and a single segment scores 0.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain

from lora_lightning.evaluation.metrics.bleu import Tokens
from lora_lightning.evaluation.metrics.ngrams import NGram, ngrams, ngrams_of_order

ORDER = 4
_SIGMA = 6.0


class _Vector:
    """A text as weighted n-grams: for each n the weights by n-gram and their norm; its bigrams."""

    def __init__(self, tokens: Tokens, idf: Mapping[NGram, float], rarest: float) -> None:
        self.weights: list[dict[NGram, float]] = []
        self.norms: list[float] = []
        self.bigrams = max(0, len(tokens) - 1)
        for order in range(1, ORDER + 1):
            weights = {}
            square = 0.0
            for ngram, count in Counter(ngrams_of_order(tokens, order)).items():
                weights[ngram] = weight = count * idf.get(ngram, rarest)
                square += weight * weight
            self.weights.append(weights)
            self.norms.append(math.sqrt(square))


def cider(hypotheses: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> list[float]:
    """Return the CIDEr of each segment, 0..10; the corpus score is their mean."""
    rarest = math.log(len(hypotheses))
    idf = _inverse_document_frequency(references, rarest)

    scores = []
    for hypothesis, group in zip(hypotheses, references, strict=True):
        candidate = _Vector(hypothesis, idf, rarest)
        total = sum(_similarity(candidate, _Vector(reference, idf, rarest)) for reference in group)
        scores.append(10.0 * total / len(group))
    return scores


def _inverse_document_frequency(
    references: Sequence[Sequence[Tokens]], rarest: float
) -> dict[NGram, float]:
    # The counts are made again for the vectors: those of all references at once would not fit.
    document_frequency: Counter[NGram] = Counter()
    for group in references:
        document_frequency.update(set(chain.from_iterable(ngrams(r, ORDER) for r in group)))
    return {ngram: rarest - math.log(df) for ngram, df in document_frequency.items()}


def _similarity(hypothesis: _Vector, reference: _Vector) -> float:
    """Return the mean over n of the clipped, length-penalised cosines."""
    cosines = []
    for order in range(ORDER):
        others = reference.weights[order]
        product = 0.0
        for ngram, weight in hypothesis.weights[order].items():
            other = others.get(ngram)
            if other is not None:
                product += min(weight, other) * other
        h, r = hypothesis.norms[order], reference.norms[order]
        cosines.append(product / (h * r) if h and r else product)
    difference = hypothesis.bigrams - reference.bigrams
    return sum(cosines) / ORDER * math.exp(-(difference**2) / (2 * _SIGMA**2))
