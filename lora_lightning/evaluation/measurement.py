"""One metric's measurement over all segments, from which every subset's score follows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from lora_lightning.evaluation.segment import Tokenised


class NotComputable(Exception):
    """One metric has no value here; the message says why and what mends it."""


@dataclass(frozen=True)
class Measurement:
    """One metric over all segments.

    Attributes:
        statistics: what the metric keeps of each segment, in the segments' order.
        score: the corpus score of some segments from their statistics; raises NotComputable.
        signature: definition, implementation and version, in one line.
        tokens: the name of the tokeniser, and the tokens of each segment; None where the metric
            reads texts.
        sentence_scores: the scores of the single segments where they are not `score([statistic])`.
        findings: a name, and under it what the metric found in each segment, for `sentences.jsonl`.
        breakdown: what the metric is over parts of the segments, by the name of the division.
    """

    statistics: Sequence[Any]
    score: Callable[[Sequence[Any]], float]
    signature: str
    tokens: tuple[str, Sequence[Tokenised]] | None
    sentence_scores: Sequence[float | None] | None = None
    findings: tuple[str, Sequence[Any]] | None = None
    breakdown: dict[str, Any] = field(default_factory=dict)


def mean(scores: Sequence[float]) -> float:
    """Return the corpus score of a metric that is a plain mean over segments."""
    return sum(scores) / len(scores)
