"""Metrics of one text against others, for what is chosen sentence by sentence.

Each takes pairs of tokens and is better where it is greater; the corpus scores of the protocols are
computed otherwise.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from lora_lightning.evaluation.java import find_java
from lora_lightning.evaluation.metrics import bleu, meteor, rouge_l, ter
from lora_lightning.process import cache_folder

Words = Sequence[str]


class Pair(NamedTuple):
    """A text and the texts that it is compared with, as tokens."""

    hypothesis: Words
    references: Sequence[Words]


def sentence_bleu(pairs: Sequence[Pair]) -> list[float]:
    """Return BLEU-4 of each pair, 0..100, smoothed: an order without matches counts as half of one.

    sacrebleu's sentence BLEU (`smooth_method="exp"`, effective order; Chen and Cherry 2014, their
    third smoothing).
    """
    from sacrebleu.metrics import BLEU

    statistics = [bleu.generation_eval_statistics(*pair) for pair in pairs]
    return [
        BLEU.compute_bleu(
            list(one.hits),
            list(one.totals),
            one.length,
            one.reference_length,
            smooth_method="exp",
            effective_order=True,
        ).score
        for one in statistics
    ]


def sentence_chrf(pairs: Sequence[Pair]) -> list[float]:
    """Return chrF of each pair, 0..100 (Popović 2015), as sacrebleu computes it."""
    from sacrebleu.metrics import CHRF

    metric = CHRF()
    texts = [(" ".join(pair.hypothesis), list(map(" ".join, pair.references))) for pair in pairs]
    return [metric.sentence_score(*text).score for text in texts]


def sentence_rouge_l(pairs: Sequence[Pair]) -> list[float]:
    """Return ROUGE-L of each pair, 0..1."""
    return [rouge_l.rouge_l(*pair) for pair in pairs]


def sentence_ter(pairs: Sequence[Pair]) -> list[float]:
    """Return −TER of each pair, at most 0."""
    return [-ter.ter(*pair) for pair in pairs]


def sentence_meteor(pairs: Sequence[Pair]) -> list[float]:
    """Return METEOR 1.5 of each pair, 0..1; one Java process for all of them.

    Raises:
        NotComputable: Java failed.
    """
    hypotheses = [_without_bars(pair.hypothesis) for pair in pairs]
    references = [[_without_bars(text) for text in pair.references] for pair in pairs]
    statistics = meteor.statistics(hypotheses, references, find_java(), cache_folder())
    return [meteor.meteor([one]) for one in statistics]


def _without_bars(tokens: Words) -> str:
    return " ".join(tokens).replace(meteor.BAR, " ")


SENTENCE_METRICS: dict[str, Callable[[Sequence[Pair]], list[float]]] = {
    "bleu": sentence_bleu,
    "chrf": sentence_chrf,
    "meteor": sentence_meteor,
    "rouge_l": sentence_rouge_l,
    "ter": sentence_ter,
}
