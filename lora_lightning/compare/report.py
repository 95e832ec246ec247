"""What a comparison found: a record for programs, tables for the terminal, a page."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from lora_lightning.compare.comparison import MetricComparison, Pair, Summary, compared
from lora_lightning.compare.configs import differences
from lora_lightning.compare.corpus_scores import CORPUS_SCORES
from lora_lightning.compare.evaluated import AGAIN
from lora_lightning.compare.sentences import most_differing, ranking_metric
from lora_lightning.compare.systems import System
from lora_lightning.errors import InputError, presentable
from lora_lightning.files import atomic_text, write_json
from lora_lightning.pages.render import render

RECORD, PAGE = "comparison.json", "comparison.html"
ONE_SEED = "one run alone: nothing is known about other seeds of it"
FEW_SEEDS = 5  # runs: with fewer, a difference must be several times the spread to show


@dataclass(frozen=True)
class Report:
    """A finished comparison.

    Attributes:
        systems: what was compared.
        metrics: metric → what was found.
        resamples: samples of each test.
        seed: of the random numbers.
        notes: what to know when reading it, a sentence each.
    """

    systems: list[System]
    metrics: dict[str, MetricComparison]
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
            "metrics": {metric: found.record() for metric, found in self.metrics.items()},
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
    in_some = [metric for metric in lacking if any(metric in run.statistics for run in runs)]
    left_out = [f"{metric} is left out: {lacking[metric]}." for metric in in_some]
    return Report(systems, metrics, resamples, seed, left_out + _notes(systems))


def _notes(systems: Sequence[System]) -> list[str]:
    notes = [f"{s.name}: {ONE_SEED}." for s in systems if len(s.runs) == 1]
    if all(len(s.runs) == 1 for s in systems):
        notes = ["Each system is one run alone: nothing is known about other seeds. The tests are "
                 "over sentences."]  # fmt: skip
    elif few := [s for s in systems if 1 < len(s.runs) < FEW_SEEDS]:
        counts = ", ".join(f"{s.name} {len(s.runs)}" for s in few)
        notes.append(f"Few seeds ({counts}): only differences of several times their spread show.")
    runs = [run for system in systems for run in system.runs]
    notes += [f"{run.place}: scores of a part, {run.partial}." for run in runs if run.partial]
    for metric in runs[0].signatures:
        if len({run.signatures[metric] for run in runs if metric in run.signatures}) > 1:
            notes.append(
                f"{metric}: the runs were scored by other versions, see their metrics.json."
            )
    return notes


def write_report(report: Report, folder: Path) -> None:
    """Write comparison.html and comparison.json, the latter last."""
    with atomic_text(folder / PAGE) as file:
        file.write(render("comparison.html", _page(report)))
    write_json(folder / RECORD, report.record())


def json_line(report: Report) -> str:
    """Return what comparison.json holds as one line."""
    return json.dumps(report.record(), ensure_ascii=False) + "\n"


def tables(report: Report) -> list[Table]:
    """Return scores and differences as the terminal shows them."""
    letters = _letters(report.systems)
    scores = _table("", "system", "runs", *report.metrics, title="Scores, mean ± std over runs")
    for row in _score_rows(report, letters):
        scores.add_row(*map(Text, [row["letter"], row["name"], str(row["runs"]), *row["scores"]]))
    holm = [*(["Holm (both)"] if len(report.systems) > 2 else [])]
    columns = ("metric", "", "difference", "95 % interval", "p bootstrap", "p randomisation", *holm)
    pairs = _table(*columns, title="Differences, second − first")
    for row in _pair_rows(report, letters):
        adjusted = [f"{row['p_bootstrap_holm']}  {row['p_randomisation_holm']}"] if holm else []
        keys = ("metric", "letters", "difference", "interval", "p_bootstrap", "p_randomisation")
        pairs.add_row(*map(Text, [*(row[key] for key in keys), *adjusted]))
    return [scores, pairs]


def _table(*columns: str, title: str) -> Table:
    table = Table(*columns, title=title, title_justify="left", box=box.SIMPLE, show_edge=False,
                  padding=(0, 1, 0, 0))  # fmt: skip
    for column in table.columns:
        column.overflow = "fold"
    return table


def _page(report: Report) -> dict[str, Any]:
    letters = _letters(report.systems)
    metric = ranking_metric(report.systems)
    differing = [] if metric is None else [
        {"a": letters[a.name], "b": letters[b.name],
         "letters": f"{letters[b.name]} − {letters[a.name]}",
         "sentences": most_differing(a, b, metric)}
        for a, b in combinations(report.systems, 2)
    ]  # fmt: skip
    return {
        "protocol": report.protocol,
        "sentences": report.sentences,
        "resamples": report.resamples,
        "seed": report.seed,
        "notes": report.notes,
        "metrics": list(report.metrics),
        "systems": _score_rows(report, letters),
        "several_runs": any(len(system.runs) > 1 for system in report.systems),
        "pairs": _pair_rows(report, letters),
        "holm": len(report.systems) > 2,
        "configs": report.configs,
        "sentence_metric": metric,
        "differing": [pair for pair in differing if pair["sentences"]],
    }


def _letters(systems: Sequence[System]) -> dict[str, str]:
    """Return a short name for each system: A … Z, then S27 and so on."""
    names = [*ascii_uppercase, *(f"S{number}" for number in range(27, len(systems) + 1))]
    return {system.name: name for system, name in zip(systems, names, strict=False)}


def _score_rows(report: Report, letters: Mapping[str, str]) -> list[dict[str, Any]]:
    return [
        {
            "letter": letters[system.name],
            "name": presentable(system.name),
            "runs": len(system.runs),
            "scores": [_score(found.systems[system.name]) for found in report.metrics.values()],
        }
        for system in report.systems
    ]


def _score(summary: Summary) -> str:
    return f"{summary.mean:.4f}" + ("" if summary.std is None else f" ± {summary.std:.4f}")


def _pair_rows(report: Report, letters: Mapping[str, str]) -> list[dict[str, str]]:
    return [
        _pair_row(metric, pair, letters)
        for metric, found in report.metrics.items()
        for pair in found.pairs
    ]


def _pair_row(metric: str, pair: Pair, letters: Mapping[str, str]) -> dict[str, str]:
    low, high = pair.test.interval
    return {
        "metric": metric,
        "letters": f"{letters[pair.b]} − {letters[pair.a]}",
        "difference": f"{pair.test.difference:+.4f}",
        "interval": f"{low:+.4f} … {high:+.4f}",
        "p_bootstrap": _p(pair.test.p_bootstrap),
        "p_randomisation": _p(pair.test.p_randomisation),
        "p_bootstrap_holm": _p(pair.p_bootstrap_holm),
        "p_randomisation_holm": _p(pair.p_randomisation_holm),
    }


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"
