"""Samples of sentences, drawn with replacement or exchanged between systems.

A sample, the same for all systems, is a row of weights, and its sums are a product of matrices:
nothing is scored sentence by sentence. Samples are made in blocks, so that memory does not grow
with their number.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from lora_lightning.compare.corpus_scores import Array

BLOCK_NUMBERS = 1 << 21  # of weights at once: 16 MiB


def bootstrap_weights(
    sentences: int, samples: int, generator: np.random.Generator
) -> Iterator[Array]:
    """Yield how often each sentence was drawn, in blocks of shape (samples, sentences).

    Each sample has as many sentences as the set (Efron and Tibshirani 1993, chapter 6).
    """
    for size in _block_sizes(sentences, samples):
        drawn = generator.integers(0, sentences, (size, sentences), dtype=np.int32)
        drawn += np.arange(size, dtype=np.int32)[:, None] * sentences
        counts = np.bincount(drawn.ravel(), minlength=size * sentences)
        yield counts.reshape(size, sentences).astype(np.float64)


def exchange_masks(sentences: int, samples: int, generator: np.random.Generator) -> Iterator[Array]:
    """Yield 1 for each sentence that changes sides (Noreen 1989), else 0, in blocks as above."""
    for size in _block_sizes(sentences, samples):
        yield generator.integers(0, 2, (size, sentences), dtype=np.int8).astype(np.float64)


def sums_of(weights: Array, statistics: Sequence[Array]) -> list[Array]:
    """Return each table's sums in every sample.

    Args:
        weights: (samples, sentences).
        statistics: tables of shape (sentences, columns).

    Returns:
        Arrays of shape (samples, columns).
    """
    widths = np.cumsum([table.shape[1] for table in statistics])[:-1]
    return np.split(weights @ np.concatenate(statistics, axis=1), widths, axis=1)


def _block_sizes(sentences: int, samples: int) -> Iterator[int]:
    block = max(1, BLOCK_NUMBERS // sentences)
    for begin in range(0, samples, block):
        yield min(block, samples - begin)
