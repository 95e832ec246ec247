"""A finished comparison, and the record of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lora_lightning.compare.comparison import MetricComparison, Statistics, compared, defined
from lora_lightning.compare.configs import differences
from lora_lightning.compare.corpus_scores import CORPUS_SCORES
from lora_lightning.compare.evaluated import AGAIN, PROTOCOLS, Evaluated
from lora_lightning.compare.systems import System
from lora_lightning.errors import InputError
from lora_lightning.evaluation.segment import subset_positions

ONE_SEED = "one run alone: nothing is known about other seeds of it"
FEW_SENTENCES = 30
FEW_SEEDS = 5  # runs: with fewer, a difference must be several times the spread to show


@dataclass(frozen=True)
class Report:
    """A finished comparison.

    Attributes:
        systems: what was compared.
        metrics: metric → what was found.
        subsets: `seen`, `unseen` → the same of these sentences alone, where the data set has them.
        resamples: samples of each test.
        seed: of the random numbers.
        notes: what to know when reading it, a sentence each.
    """

    systems: list[System]
    metrics: dict[str, MetricComparison]
    subsets: dict[str, dict[str, MetricComparison]]
    resamples: int
    seed: int
    notes: list[str]

    @property
    def protocol(self) -> str:
        """The name of the protocol that scored all."""
        return self.systems[0].runs[0].protocol

    @property
    def sentences(self) -> int:
        """How many sentences were scored."""
        return len(self.systems[0].runs[0].sentences)

    @property
    def by_label(self) -> dict[str, MetricComparison]:
        """What was found by `metric` and `subset/metric`."""
        parts = {f"{s}/{m}": found for s, of in self.subsets.items() for m, found in of.items()}
        return self.metrics | parts

    @property
    def configs(self) -> dict[str, dict[str, str]]:
        """Each key of the configs that differs → system → value."""
        return differences({s.name: [run.config for run in s.runs] for s in self.systems})

    def record(self) -> dict[str, Any]:
        """Return what comparison.json holds."""
        return {
            "protocol": self.protocol,
            "sentences": self.sentences,
            "resamples": self.resamples,
            "seed": self.seed,
            "systems": {s.name: [str(run.place) for run in s.runs] for s in self.systems},
            "metrics": _records(self.metrics),
            "subsets": {subset: _records(found) for subset, found in self.subsets.items()},
            "configs": self.configs,
            "notes": self.notes,
        }


def compare_systems(systems: list[System], resamples: int, seed: int) -> Report:
    """Compare systems by every metric that all their runs have.

    Args:
        systems: at least two, on the same sentences in the same order.
        resamples: samples of each test.
        seed: of the random numbers.

    Raises:
        InputError: they have no metric in common.
    """
    runs = [run for system in systems for run in system.runs]
    lacking = {metric: why for run in runs for metric, why in run.lacking.items()}
    known = CORPUS_SCORES[runs[0].protocol]
    scores = {metric: score for metric, score in known.items() if metric not in lacking}
    if not scores:
        why = next(iter(lacking.values()))
        raise InputError(f"no metric was scored in every run ({why}); {AGAIN}")
    statistics = {system.name: [run.statistics for run in system.runs] for system in systems}
    metrics = compared(statistics, scores, resamples, seed)
    subsets = {}
    for subset, members in _subsets(runs[0]).items():
        of_subset = _rows(statistics, members)
        subsets[subset] = compared(of_subset, defined(of_subset, scores), resamples, seed)
    in_some = [metric for metric in lacking if any(metric in run.statistics for run in runs)]
    left_out = [f"{metric} is left out: {lacking[metric]}." for metric in in_some]
    return Report(systems, metrics, subsets, resamples, seed, left_out + _notes(systems))


def _subsets(run: Evaluated) -> dict[str, list[int]]:
    """Return the places of the seen and of the unseen sentences, of which tests need two."""
    if not PROTOCOLS[run.protocol].has_subsets:
        return {}
    found = subset_positions([sentence.segment() for sentence in run.sentences])
    return {subset: members for subset, members in found.items() if len(members) > 1}


def _rows(
    systems: Mapping[str, Sequence[Statistics]], members: Sequence[int]
) -> dict[str, list[Statistics]]:
    return {
        name: [{metric: table[members] for metric, table in run.items()} for run in runs]
        for name, runs in systems.items()
    }


def _records(metrics: Mapping[str, MetricComparison]) -> dict[str, Any]:
    return {metric: found.record() for metric, found in metrics.items()}


def _notes(systems: Sequence[System]) -> list[str]:
    notes = [f"{s.name}: {ONE_SEED}." for s in systems if len(s.runs) == 1]
    if all(len(s.runs) == 1 for s in systems):
        notes = ["Each system is one run alone: nothing is known about other seeds. The tests are "
                 "over sentences."]  # fmt: skip
    elif few := [s for s in systems if 1 < len(s.runs) < FEW_SEEDS]:
        counts = ", ".join(f"{s.name}: {len(s.runs)}" for s in few)
        notes.append(f"Few seeds ({counts}): only differences of several times their spread show.")
    runs = [run for system in systems for run in system.runs]
    if (count := len(runs[0].sentences)) < FEW_SENTENCES:
        notes.append(f"{count} sentences: too few for the bootstrap; go by randomisation.")
    partial = dict.fromkeys(run.partial for run in runs if run.partial)
    notes += [f"Scores of a part alone: {part}." for part in partial]
    for metric in runs[0].signatures:
        if len({run.signatures[metric] for run in runs if metric in run.signatures}) > 1:
            notes.append(
                f"{metric}: the runs were scored by other versions, see their metrics.json."
            )
    return notes
