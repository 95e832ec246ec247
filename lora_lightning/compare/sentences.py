"""The sentences in which two systems differ most."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from lora_lightning.compare.evaluated import Evaluated
from lora_lightning.compare.systems import System

# The first that has a score for every sentence. BLEU of one sentence is often 0.
BY = ("meteor", "rouge_l", "ter", "cider", "bleu")
SHOWN, MOST_SHOWN = 10, 100  # of a pair on each side; of all pairs


@dataclass(frozen=True)
class Differing:
    """A sentence, what two systems' first runs made of it, and its scores over their runs."""

    id: int | str
    context: str | None
    references: list[str]
    a_text: str
    b_text: str
    a_score: float
    b_score: float


def ranking_metric(systems: Sequence[System]) -> str | None:
    """Return the metric that sentences are ranked by; None where none scores all of them."""
    runs = [run for system in systems for run in system.runs]
    return next((metric for metric in BY if all(_has_all(run, metric) for run in runs)), None)


def most_differing(a: System, b: System, metric: str, pairs: int) -> list[Differing]:
    """Return the sentences where `b` is highest above `a`, then those where it is furthest below.

    From ten pairs on there are fewer of each, so that a page of many can be opened.

    Args:
        a: a system.
        b: another, on the same sentences in the same order.
        metric: as `ranking_metric`.
        pairs: how many pairs there are.
    """
    shown = max(1, min(SHOWN, MOST_SHOWN // pairs))
    ranked = sorted(
        (_sentence(a, b, metric, number) for number in range(len(a.runs[0].sentences))),
        key=lambda sentence: sentence.a_score - sentence.b_score,
    )
    above = [sentence for sentence in ranked[:shown] if sentence.b_score > sentence.a_score]
    below = [sentence for sentence in ranked[-shown:] if sentence.b_score < sentence.a_score]
    return above + below[::-1]


def _sentence(a: System, b: System, metric: str, number: int) -> Differing:
    ours, theirs = a.runs[0].sentences[number], b.runs[0].sentences[number]
    return Differing(
        ours.id,
        ours.context if ours.context is not None else theirs.context,
        ours.references,
        ours.hypothesis,
        theirs.hypothesis,
        _score(a.runs, metric, number),
        _score(b.runs, metric, number),
    )


def _score(runs: Sequence[Evaluated], metric: str, number: int) -> float:
    return mean(run.sentences[number].metrics[metric] or 0.0 for run in runs)


def _has_all(run: Evaluated, metric: str) -> bool:
    scores = [sentence.metrics.get(metric) for sentence in run.sentences]
    return all(score is not None and math.isfinite(score) for score in scores)
