"""Counts of n-grams, which BLEU, NIST and CIDEr share."""

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence

NGram = tuple[Hashable, ...]


def ngram_counts(tokens: Sequence[Hashable], order: int) -> Counter[NGram]:
    """Count the n-grams of `tokens` for n = 1 … `order`, all in one counter."""
    return Counter(
        tuple(tokens[start : start + n])
        for n in range(1, order + 1)
        for start in range(len(tokens) - n + 1)
    )


def maximum_counts(counters: Iterable[Counter[NGram]]) -> Counter[NGram]:
    """Return for each n-gram its highest count in any of the counters (the clipping limit)."""
    maximum: Counter[NGram] = Counter()
    for counter in counters:
        maximum |= counter
    return maximum
