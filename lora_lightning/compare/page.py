"""comparison.html: all of a comparison in one file that needs no other."""

from itertools import combinations
from pathlib import Path
from typing import Any

from lora_lightning.compare.report import Report
from lora_lightning.compare.sentences import most_differing, ranking_metric
from lora_lightning.compare.table import letters_of, pair_rows, score_rows
from lora_lightning.files import atomic_text
from lora_lightning.pages.render import render

PAGE = "comparison.html"


def write_page(report: Report, folder: Path) -> Path:
    """Write comparison.html, and return its path."""
    with atomic_text(folder / PAGE) as file:
        file.write(render("comparison.html", _values(report)))
    return folder / PAGE


def _values(report: Report) -> dict[str, Any]:
    letters = letters_of(report.systems)
    metric = ranking_metric(report.systems)
    pairs = list(combinations(report.systems, 2))
    differing = [] if metric is None else [
        {"a": letters[a.name], "b": letters[b.name],
         "letters": f"{letters[b.name]} − {letters[a.name]}",
         "sentences": most_differing(a, b, metric, len(pairs))}
        for a, b in pairs
    ]  # fmt: skip
    return {
        "protocol": report.protocol,
        "sentences": report.sentences,
        "resamples": report.resamples,
        "seed": report.seed,
        "notes": report.notes,
        "metrics": list(report.by_label),
        "systems": score_rows(report, letters),
        "several_runs": any(len(system.runs) > 1 for system in report.systems),
        "pairs": pair_rows(report, letters),
        "holm": len(report.systems) > 2,
        "configs": report.configs,
        "sentence_metric": metric,
        "differing": [pair for pair in differing if pair["sentences"]],
    }
