r"""BLEU over a corpus (Papineni et al. 2002), in the two variants that published numbers use.

With h_n the n-grams of the hypotheses found in their references, each n-gram clipped at its highest
count in one reference, t_n all n-grams of the hypotheses, c the hypotheses' tokens, and r the sum
of the closest reference lengths (the shorter on a tie):

    BLEU = min(1, exp(1 - r/c)) · exp(1/4 · Σ_{n=1..4} ln(h_n / t_n))

E2E (pymteval in e2e-metrics; scale 0..1, case ignored): an empty text is one empty token; a segment
of length c adds c - n + 1 to t_n even where that is negative, so short hypotheses raise the score;
h_n = 0 counts as 1e-15 and t_n below 1e-9 as 1e-9. With hypotheses of four tokens and more it is
sacrebleu's BLEU.

GenerationEval (multi-bleu-detok.perl; scale 0..100, case kept): an empty text has no token, no
t_n is negative, and there is no smoothing. It is sacrebleu's BLEU with `smooth_method="none"`,
which computes it here from our statistics.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from lora_lightning.evaluation.measurement import NotComputable
from lora_lightning.evaluation.metrics.ngrams import NGram, ngram_counts

ORDER = 4
SMALLEST_HITS = 1e-15
SMALLEST_TOTAL = 1e-9

Tokens = Sequence[Hashable]
Hits = Sequence[tuple[NGram, int]]


@dataclass(frozen=True)
class BleuStatistics:
    """What BLEU adds up over segments.

    Attributes:
        hits: clipped matches for n = 1 … 4.
        totals: n-grams of the hypothesis for n = 1 … 4; below 0 for short ones in the E2E variant.
        length: tokens of the hypothesis.
        reference_length: tokens of the reference closest in length.
    """

    hits: tuple[int, ...]
    totals: tuple[int, ...]
    length: int
    reference_length: int


def e2e_statistics(
    hypothesis: Tokens, references: Sequence[Tokens], hits: Hits | None = None
) -> BleuStatistics:
    """Return one segment's statistics, tokens lower-cased by the caller (pymteval).

    Args:
        hypothesis: its tokens.
        references: theirs.
        hits: the n-grams that `clipped_hits` finds, where they are known, of any order from 4 on.
    """
    texts = hypothesis or [""], [reference or [""] for reference in references]
    return _statistics(*texts, clipped_hits(*texts, ORDER) if hits is None else hits, None)


def generation_eval_statistics(hypothesis: Tokens, references: Sequence[Tokens]) -> BleuStatistics:
    """Return one segment's statistics (multi-bleu-detok)."""
    return _statistics(hypothesis, references, clipped_hits(hypothesis, references, ORDER), 0)


def e2e_bleu(statistics: Sequence[BleuStatistics]) -> float:
    """Return the E2E variant over the segments, 0..1."""
    hits, totals, length, reference_length = add_up(statistics)
    logs = [
        math.log((hit or SMALLEST_HITS) / max(total, SMALLEST_TOTAL))
        for hit, total in zip(hits, totals, strict=True)
    ]
    penalty = 1.0 if length > reference_length else math.exp(1 - reference_length / length)
    return penalty * math.exp(sum(logs) / ORDER)


def generation_eval_bleu(statistics: Sequence[BleuStatistics]) -> float:
    """Return the multi-bleu-detok variant over the segments, 0..100.

    Raises:
        NotComputable: all hypotheses are empty; the official script divides by zero there.
    """
    from sacrebleu.metrics import BLEU

    hits, totals, length, reference_length = add_up(statistics)
    if length == 0:
        raise NotComputable("BLEU is undefined: every hypothesis is empty; check the predictions")
    score = BLEU.compute_bleu(hits, totals, length, reference_length, smooth_method="none")
    return float(score.score)


def add_up(statistics: Sequence[BleuStatistics]) -> tuple[list[int], list[int], int, int]:
    """Return the sums of hits, totals, lengths and reference lengths."""
    hits = [sum(s.hits[n] for s in statistics) for n in range(ORDER)]
    totals = [sum(s.totals[n] for s in statistics) for n in range(ORDER)]
    length = sum(s.length for s in statistics)
    return hits, totals, length, sum(s.reference_length for s in statistics)


def clipped_hits(hypothesis: Tokens, references: Sequence[Tokens], order: int) -> Hits:
    """Return (n-gram, count clipped at the highest count in one reference), n = 1 … `order`."""
    counts = ngram_counts(hypothesis, order)
    limits: dict[NGram, int] = {}
    for reference in dict.fromkeys(map(tuple, references)):
        found = ngram_counts(reference, order)
        for ngram in counts.keys() & found.keys():
            limits[ngram] = max(limits.get(ngram, 0), found[ngram])
    return [
        (ngram, min(count, limits[ngram])) for ngram, count in counts.items() if ngram in limits
    ]


def _statistics(
    hypothesis: Tokens, references: Sequence[Tokens], found: Hits, least_total: int | None
) -> BleuStatistics:
    hits = [0] * ORDER
    for ngram, count in found:
        if len(ngram) <= ORDER:
            hits[len(ngram) - 1] += count
    length = len(hypothesis)
    totals = [length - n for n in range(ORDER)]
    if least_total is not None:
        totals = [max(least_total, total) for total in totals]
    closest = min((len(r) for r in references), key=lambda other: (abs(other - length), other))
    return BleuStatistics(tuple(hits), tuple(totals), length, closest)
