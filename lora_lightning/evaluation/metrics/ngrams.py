"""N-grams and their counts, which BLEU, NIST and CIDEr share."""

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from itertools import chain

NGram = tuple[Hashable, ...]


def ngrams(tokens: Sequence[Hashable], order: int) -> Iterator[NGram]:
    """Yield the n-grams of `tokens` for n = 1 … `order`, one order after another."""
    return chain.from_iterable(ngrams_of_order(tokens, n) for n in range(1, order + 1))


def ngrams_of_order(tokens: Sequence[Hashable], order: int) -> Iterator[NGram]:
    """Yield the n-grams of `tokens` for n = `order`."""
    return zip(*(tokens[start:] for start in range(order)), strict=False)


def ngram_counts(tokens: Sequence[Hashable], order: int) -> Counter[NGram]:
    """Count the n-grams of `tokens` for n = 1 … `order`, all in one counter."""
    return Counter(ngrams(tokens, order))
