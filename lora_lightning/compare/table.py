"""Scores and differences as rows of texts, and as the terminal shows them."""

from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from lora_lightning.compare.comparison import Pair, Summary
from lora_lightning.compare.report import Report
from lora_lightning.compare.systems import System
from lora_lightning.errors import presentable


def tables(report: Report) -> list[Table]:
    """Return scores and differences as the terminal shows them."""
    letters = letters_of(report.systems)
    scores = _table("", "system", "runs", *report.by_label, title="Scores, mean ± std over runs")
    for row in score_rows(report, letters):
        scores.add_row(*map(Text, [row["letter"], row["name"], str(row["runs"]), *row["scores"]]))
    holm = [*(["Holm (both)"] if len(report.systems) > 2 else [])]
    columns = ("metric", "", "difference", "95 % interval", "p bootstrap", "p randomisation", *holm)
    pairs = _table(*columns, title="Differences, second − first")
    for row in pair_rows(report, letters):
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


def letters_of(systems: Sequence[System]) -> dict[str, str]:
    """Return a short name for each system: A … Z, then S27 and so on."""
    names = [*ascii_uppercase, *(f"S{number}" for number in range(27, len(systems) + 1))]
    return {system.name: name for system, name in zip(systems, names, strict=False)}


def score_rows(report: Report, letters: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return letter, name, number of runs and scores of each system."""
    return [
        {
            "letter": letters[system.name],
            "name": presentable(system.name),
            "runs": len(system.runs),
            "scores": [_score(found.systems[system.name]) for found in report.by_label.values()],
        }
        for system in report.systems
    ]


def _score(summary: Summary) -> str:
    return f"{summary.mean:.4f}" + ("" if summary.std is None else f" ± {summary.std:.4f}")


def pair_rows(report: Report, letters: Mapping[str, str]) -> list[dict[str, str]]:
    """Return the cells of each pair by each metric."""
    return [
        _pair_row(metric, pair, letters)
        for metric, found in report.by_label.items()
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
