r"""NIST over a corpus (Doddington 2002), as pymteval in e2e-metrics computes it.

An n-gram is worth the information that its last word adds, counted over all references of all
segments (an empty prefix counts once a reference token):

    info(w_1 … w_n) = log2(count(w_1 … w_{n-1}) / count(w_1 … w_n))

    NIST = Σ_{n=1..5} (Σ info · clipped matches) / t_n · exp(β · ln²(min(1, c / r)))
    β = ln(1/2) / ln²(1.5)

c = hypotheses' tokens, r = sum over segments of the *mean* reference length (Perl's mteval takes
another r, so its number differs), t_n = sum of length - n + 1 **without a floor at 0**. Case is
ignored and an empty text is one empty token.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lora_lightning.evaluation.measurement import NotComputable
from lora_lightning.evaluation.metrics.bleu import Hits, Tokens, clipped_hits
from lora_lightning.evaluation.metrics.ngrams import NGram, ngrams

ORDER = 5
BETA = math.log(0.5) / math.log(1.5) ** 2


@dataclass(frozen=True)
class NistStatistics:
    """What NIST adds up over segments.

    Attributes:
        hit_information: information of the clipped matches for n = 1 … 5, in bits.
        totals: n-grams of the hypothesis for n = 1 … 5; below 0 for short ones.
        reference_length: mean number of tokens of the references.
    """

    hit_information: tuple[float, ...]
    totals: tuple[int, ...]
    reference_length: float


def information(
    references: Sequence[Sequence[Tokens]], asked: Iterable[NGram]
) -> dict[NGram, float]:
    """Return the information of n-grams of the references, counted over all of them, in bits.

    Args:
        references: tokens of each segment's references.
        asked: whose information; each occurs in a reference.
    """
    counts: Counter[NGram] = Counter()
    tokens = 0
    for group in references:
        for reference in group:
            counts.update(ngrams(reference or [""], ORDER))
            tokens += len(reference or [""])
    counts[()] = tokens
    return {ngram: math.log2(counts[ngram[:-1]] / counts[ngram]) for ngram in asked}


def segment_hits(hypothesis: Tokens, references: Sequence[Tokens]) -> Hits:
    """Return the n-grams of one segment that count, and how often."""
    return clipped_hits(hypothesis or [""], [reference or [""] for reference in references], ORDER)


def statistics(
    hypotheses: Sequence[Tokens],
    references: Sequence[Sequence[Tokens]],
    hits: Sequence[Hits] | None = None,
) -> list[NistStatistics]:
    """Return the statistics of each segment, tokens lower-cased by the caller.

    Args:
        hypotheses: tokens of each segment.
        references: tokens of each segment's references.
        hits: the `segment_hits` of each, where they are known.
    """
    if hits is None:
        hits = list(map(segment_hits, hypotheses, references))
    worth = information(references, {ngram for found in hits for ngram, _ in found})
    return [
        _segment_statistics(hypothesis or [""], [reference or [""] for reference in group],
                            found, worth)
        for hypothesis, group, found in zip(hypotheses, references, hits, strict=True)
    ]  # fmt: skip


def nist(statistics: Sequence[NistStatistics]) -> float:
    """Return NIST over the segments.

    Raises:
        NotComputable: the n-grams of some n number 0; the official script divides by it.
    """
    totals = [sum(s.totals[n] for s in statistics) for n in range(ORDER)]
    if 0 in totals:
        raise NotComputable(
            f"NIST is undefined: the hypotheses hold no {totals.index(0) + 1}-gram "
            "(all are empty or too short); check the predictions"
        )
    gained = sum(sum(s.hit_information[n] for s in statistics) / totals[n] for n in range(ORDER))
    ratio = totals[0] / sum(s.reference_length for s in statistics)
    return gained * math.exp(BETA * math.log(min(1.0, ratio)) ** 2)


def nist_of_one(
    hypothesis: Tokens, references: Sequence[Tokens], hits: Hits | None = None
) -> float | None:
    """Return the NIST of a segment as if it were the corpus, None where it is undefined."""
    known = None if hits is None else [hits]
    try:
        return nist(statistics([hypothesis], [references], known))
    except NotComputable:
        return None


def _segment_statistics(
    hypothesis: Tokens,
    references: Sequence[Tokens],
    hits: Hits,
    worth: dict[NGram, float],
) -> NistStatistics:
    gained = [0.0] * ORDER
    for ngram, count in hits:
        gained[len(ngram) - 1] += worth[ngram] * count
    totals = tuple(len(hypothesis) - n for n in range(ORDER))
    mean_length = sum(len(reference) for reference in references) / len(references)
    return NistStatistics(tuple(gained), totals, mean_length)
