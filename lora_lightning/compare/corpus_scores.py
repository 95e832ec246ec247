r"""Corpus scores of many samples of sentences at once, from the sums of the sentences' statistics.

A sample's sums are those of its rows, each as often as it was drawn. The formulas are those of
`evaluation/metrics/`, written for arrays: the sums of all sentences, each taken once, give the
corpus score. CIDEr's document frequencies and NIST's information weights went into the rows: they
stay those of the whole set.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from lora_lightning.evaluation.metrics import bleu, meteor, nist

Array = NDArray[np.float64]
CorpusScore = Callable[[Array, int], Array]
"""Takes sums of shape (…, columns) and the number of sentences in a sample; returns shape (…).

NaN where the score is undefined."""


def e2e_bleu(sums: Array, sentences: int) -> Array:
    """Return BLEU as pymteval, 0..1."""
    hits, totals, length, reference_length = _bleu_parts(sums)
    ratios = np.where(hits > 0, hits, bleu.SMALLEST_HITS) / np.maximum(totals, bleu.SMALLEST_TOTAL)
    return _brevity(length, reference_length) * np.exp(np.log(ratios).mean(axis=-1))


def generation_eval_bleu(sums: Array, sentences: int) -> Array:
    """Return BLEU as multi-bleu-detok, 0..100."""
    hits, totals, length, reference_length = _bleu_parts(sums)
    matches = (hits > 0).all(axis=-1)
    ratios = np.where(hits > 0, hits, 1.0) / np.where(totals > 0, totals, 1.0)
    score = 100 * _brevity(length, reference_length) * np.exp(np.log(ratios).mean(axis=-1))
    return np.where(length > 0, np.where(matches, score, 0.0), np.nan)


def nist_score(sums: Array, sentences: int) -> Array:
    """Return NIST as pymteval."""
    gained, totals = sums[..., : nist.ORDER], sums[..., nist.ORDER : 2 * nist.ORDER]
    totals = np.where(totals == 0, np.nan, totals)
    ratio = np.minimum(1.0, np.maximum(totals[..., 0], 0.0) / sums[..., -1])
    return (gained / totals).sum(axis=-1) * np.exp(nist.BETA * np.log(ratio) ** 2)


def meteor_score(sums: Array, sentences: int) -> Array:
    """Return METEOR, 0..1."""
    precision, recall = (_weighted_share(sums, side) for side in (0, 1))
    scores = precision * recall > 0
    one = np.where(scores, 1.0, 0.0)
    f_mean = precision * recall / (meteor.ALPHA * precision + (1 - meteor.ALPHA) * recall + 1 - one)
    matched = (sums[..., 21] + sums[..., 22]) / 2
    fragmentation = sums[..., 20] / np.where(matched > 0, matched, 1.0)
    return one * f_mean * (1 - meteor.GAMMA * fragmentation**meteor.BETA)


def mean_score(sums: Array, sentences: int) -> Array:
    """Return the mean of the sentences' scores."""
    return sums[..., 0] / sentences


def share(sums: Array, sentences: int) -> Array:
    """Return what was counted of all that could be, 1 where nothing could."""
    return np.where(sums[..., 1] > 0, sums[..., 0] / np.maximum(sums[..., 1], 1.0), 1.0)


def _bleu_parts(sums: Array) -> tuple[Array, Array, Array, Array]:
    order = bleu.ORDER
    return sums[..., :order], sums[..., order : 2 * order], sums[..., -2], sums[..., -1]


def _brevity(length: Array, reference_length: Array) -> Array:
    shortfall = 1 - reference_length / np.where(length > 0, length, 1.0)
    return np.exp(np.minimum(0.0, shortfall))


def _weighted_share(sums: Array, side: int) -> Array:
    """Return METEOR's precision (side 0, the hypotheses') or recall (1, the references')."""
    stages = sums[..., 4:20]
    content, function = stages[..., side::4], stages[..., 2 + side :: 4]
    weights = np.array(meteor.STAGE_WEIGHTS)
    delta = meteor.DELTA
    matches = (weights * (delta * content + (1 - delta) * function)).sum(axis=-1)
    words, functions = sums[..., side], sums[..., 2 + side]
    weighted = delta * (words - functions) + (1 - delta) * functions
    return matches / np.where(weighted > 0, weighted, 1.0)


_GENERATION_EVAL: Mapping[str, CorpusScore] = {
    "bleu": generation_eval_bleu,
    "meteor": meteor_score,
    "ter": mean_score,
    "entity_coverage": share,
}

CORPUS_SCORES: Mapping[str, Mapping[str, CorpusScore]] = {
    "e2e": {
        "bleu": e2e_bleu,
        "nist": nist_score,
        "meteor": meteor_score,
        "rouge_l": mean_score,
        "cider": mean_score,
        "slot_error": share,
    },
    "webnlg": _GENERATION_EVAL,
    "dart": _GENERATION_EVAL,
}
"""Protocol → metric → its corpus score."""
