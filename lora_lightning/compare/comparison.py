"""Systems against each other: every metric's scores over the runs, and every pair's tests."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from statistics import mean, stdev
from typing import Any

import numpy as np

from lora_lightning.compare.corpus_scores import Array, CorpusScore
from lora_lightning.compare.resampling import bootstrap_weights, exchange_masks, sums_of
from lora_lightning.compare.significance import PairTest, SystemScores, holm, tested

Statistics = Mapping[str, Array]
"""Metric → what it adds up over the sentences, shape (sentences, columns)."""


@dataclass(frozen=True)
class Summary:
    """A system's score by one metric: mean and sample standard deviation over its runs."""

    mean: float
    std: float | None
    runs: int
    scores: list[float]


@dataclass(frozen=True)
class Pair:
    """Two systems by one metric; `_holm` holds for all pairs of the metric together."""

    a: str
    b: str
    test: PairTest
    p_bootstrap_holm: float
    p_randomisation_holm: float

    def record(self) -> dict[str, Any]:
        """Return it as it stands in comparison.json."""
        fields = asdict(self)
        test = fields.pop("test")
        names = {key: fields.pop(key) for key in ("a", "b")}
        return names | test | {"interval": list(self.test.interval)} | fields


@dataclass(frozen=True)
class MetricComparison:
    """All systems by one metric."""

    systems: dict[str, Summary] = field(default_factory=dict)
    pairs: list[Pair] = field(default_factory=list)

    def record(self) -> dict[str, Any]:
        """Return it as it stands in comparison.json."""
        systems = {name: asdict(summary) for name, summary in self.systems.items()}
        return {"systems": systems, "pairs": [pair.record() for pair in self.pairs]}


def compared(
    systems: Mapping[str, Sequence[Statistics]],
    scores: Mapping[str, CorpusScore],
    resamples: int,
    seed: int,
) -> dict[str, MetricComparison]:
    """Return metric → its comparison.

    Args:
        systems: name → the statistics of each of its runs, rows of the same sentences throughout.
        scores: metric → its corpus score; every run has each of them.
        resamples: samples of each test.
        seed: of the random numbers; the same seed gives the same numbers.
    """
    by_sentence, by_side, by_seed = np.random.default_rng(seed).spawn(3)
    resampled = _resampled(systems, scores, resamples, by_sentence)
    exchanged = _exchanged(systems, scores, resamples, by_side)
    found = {}
    for metric, score in scores.items():
        by_system = {
            name: SystemScores(
                np.array([_whole(score, run[metric]) for run in runs]),
                resampled[metric, name],
            )
            for name, runs in systems.items()
        }
        tests = {
            (a, b): tested(by_system[a], by_system[b], exchanged[metric, a, b], by_seed)
            for a, b in combinations(systems, 2)
        }
        found[metric] = MetricComparison(
            {name: _summary(of.runs) for name, of in by_system.items()}, _with_holm(tests)
        )
    return found


def defined(
    systems: Mapping[str, Sequence[Statistics]], scores: Mapping[str, CorpusScore]
) -> dict[str, CorpusScore]:
    """Return the metrics that every run has a score of: empty texts alone have no BLEU or NIST."""
    runs = [run for of_system in systems.values() for run in of_system]
    return {
        metric: score
        for metric, score in scores.items()
        if all(np.isfinite(_whole(score, run[metric])) for run in runs)
    }


def _whole(score: CorpusScore, table: Array) -> float:
    """Return the score of all sentences, each taken once."""
    return float(_quiet(score, table.sum(axis=0), len(table)))


def _summary(runs: Array) -> Summary:
    scores = [float(score) for score in runs]
    return Summary(mean(scores), stdev(scores) if len(scores) > 1 else None, len(scores), scores)


def _with_holm(tests: Mapping[tuple[str, str], PairTest]) -> list[Pair]:
    bootstrap = holm([test.p_bootstrap for test in tests.values()])
    randomisation = holm([test.p_randomisation for test in tests.values()])
    rows = zip(tests.items(), bootstrap, randomisation, strict=True)
    return [Pair(a, b, test, p, q) for ((a, b), test), p, q in rows]


def _resampled(
    systems: Mapping[str, Sequence[Statistics]],
    scores: Mapping[str, CorpusScore],
    samples: int,
    generator: np.random.Generator,
) -> dict[tuple[str, str], Array]:
    """Return (metric, system) → scores on bootstrap samples, shape (samples, runs)."""
    sentences = _sentences(systems)
    blocks: dict[tuple[str, str], list[Array]] = {}
    for weights in bootstrap_weights(sentences, samples, generator):
        for name, runs in systems.items():
            by_run = [_scored(weights, run, scores, sentences) for run in runs]
            for metric in scores:
                column = np.stack([of_run[metric] for of_run in by_run], axis=1)
                blocks.setdefault((metric, name), []).append(column)
    return {key: np.concatenate(parts) for key, parts in blocks.items()}


def _scored(
    weights: Array, run: Statistics, scores: Mapping[str, CorpusScore], sentences: int
) -> dict[str, Array]:
    sums = sums_of(weights, [run[metric] for metric in scores])
    return {
        metric: _quiet(score, of_metric, sentences)
        for (metric, score), of_metric in zip(scores.items(), sums, strict=True)
    }


def _exchanged(
    systems: Mapping[str, Sequence[Statistics]],
    scores: Mapping[str, CorpusScore],
    samples: int,
    generator: np.random.Generator,
) -> dict[tuple[str, str, str], Array]:
    """Return (metric, a, b) → `b - a` where sentences changed sides, shape (samples,).

    A sentence changes sides with all runs at once: by the runs' mean statistics, whose score is
    that of their sentences taken together.
    """
    sentences = _sentences(systems)
    tables = {
        name: [np.mean([run[metric] for run in runs], axis=0) for metric in scores]
        for name, runs in systems.items()
    }
    totals = {name: [table.sum(axis=0) for table in of] for name, of in tables.items()}
    blocks: dict[tuple[str, str, str], list[Array]] = {}
    for masks in exchange_masks(sentences, samples, generator):
        moved = {name: sums_of(masks, of_system) for name, of_system in tables.items()}
        for a, b in combinations(systems, 2):
            for place, (metric, score) in enumerate(scores.items()):
                gone = moved[b][place] - moved[a][place]
                ours = _quiet(score, totals[a][place] + gone, sentences)
                theirs = _quiet(score, totals[b][place] - gone, sentences)
                blocks.setdefault((metric, a, b), []).append(theirs - ours)
    return {key: np.concatenate(parts) for key, parts in blocks.items()}


def _quiet(score: CorpusScore, sums: Array, sentences: int) -> Array:
    """Return scores of samples; those that are undefined are NaN without a warning."""
    with np.errstate(all="ignore"):
        return score(sums, sentences)


def _sentences(systems: Mapping[str, Sequence[Statistics]]) -> int:
    return next(len(table) for table in _tables(systems))


def _tables(systems: Mapping[str, Sequence[Statistics]]) -> Iterator[Array]:
    for runs in systems.values():
        for run in runs:
            yield from run.values()
