"""report.html: a run's scores, curves, settings and every prediction, in one file."""

from base64 import b64encode
from pathlib import Path
from typing import Any

from lora_lightning.compare.configs import config_of, differences
from lora_lightning.files import atomic_text, near_path, read_json_object, read_text
from lora_lightning.pages.render import render, script, style
from lora_lightning.paper.beside import Trained, rows_beside
from lora_lightning.paper.rows import Scores
from lora_lightning.paper.table import table_of
from lora_lightning.report.rows import prediction_rows
from lora_lightning.report.scored import ScoredRun
from lora_lightning.runs.folder import RunFolder
from lora_lightning.runs.stored_config import RESOLVED
from lora_lightning.tracking.csv_tables import read_losses

METRICS = "metrics.csv"
ANALYSIS = "analysis"
GRAPHS = {
    "loss": ("train/loss", "train/loss_unsmoothed", "val/loss"),
    "validation scores": ("val/bleu", "val/nist", "val/meteor", "val/rouge_l", "val/ter"),
    "learning rate": ("train/lr",),
    "tokens per second": ("train/tokens_per_second",),
}


def write_report(scored: ScoredRun, against: ScoredRun | None, file: Path) -> None:
    """Write the page of a run, beside another one where that is given."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_text(file) as page:
        page.write(render("report.html", report_values(scored, against)))


def report_values(scored: ScoredRun, against: ScoredRun | None) -> dict[str, Any]:
    """Return what the template `report.html` uses."""
    run = scored.run
    record = run.path / "run.json"
    metrics = list(scored.scores.scores)
    return {
        "name": scored.name,
        "path": near_path(run.path),
        "split": scored.split,
        "protocol": scored.protocol,
        "sentences": len(scored.sentences),
        "partial": scored.scores.partial,
        "notes": scored.record.get("notes", []),
        "scores": score_rows(scored, against),
        "subsets": list(scored.record.get("subsets", {})),
        "other": None if against is None else against.name,
        "published": published_table(scored),
        "signatures": scored.scores.signatures,
        "breakdowns": scored.record.get("breakdowns", {}),
        "environment": environment(read_json_object(record) if record.is_file() else {}),
        "settings": read_text(run.path / RESOLVED),
        "differences": {} if against is None else differences(
            {each.name: [config_of(each.evaluation)] for each in (scored, against)}
        ),
        "figures": [(path.stem.replace("_", " "), b64encode(path.read_bytes()).decode())
                    for path in sorted((run.path / ANALYSIS).glob("*.png"))],
        "has_curves": (run.path / METRICS).is_file(),
        "data": {
            "metrics": [name for name in metrics if _scores_sentences(scored, name)],
            "lower_is_better": ["ter", "slot_error"],
            "rows": prediction_rows(scored, against),
            "graphs": graphs(run),
            "other": None if against is None else against.name,
        },
        "chart_style": style("vendor/uPlot.min.css"),
        "scripts": [script("vendor/uPlot.iife.min.js"), script("templates/report.js")],
    }  # fmt: skip


def _scores_sentences(scored: ScoredRun, metric: str) -> bool:
    return any(sentence["metrics"].get(metric) is not None for sentence in scored.sentences)


def score_rows(scored: ScoredRun, against: ScoredRun | None) -> list[dict[str, Any]]:
    """Return a row a metric: its scores, of the subsets too, why it lacks, and the other run's."""
    subsets = scored.record.get("subsets", {})
    return [
        {
            "metric": metric,
            "score": score,
            "subsets": [of_subset.get(metric) for of_subset in subsets.values()],
            "reason": scored.scores.not_computed.get(metric),
            "other": None if against is None else against.scores.scores.get(metric),
        }
        for metric, score in scored.scores.scores.items()
    ]


def published_table(scored: ScoredRun) -> dict[str, Any] | None:
    """Return the published rows of the run's data set, model and method; None without any."""
    choices = scored.run.choices
    trained = Trained(
        choices["data"],
        choices["model"],
        choices["method"],
        choices.get("optimizer"),
        scored.run.resolved_config.method.get("rank"),
    )
    rows = rows_beside(trained)
    if not rows:
        return None
    ours: Scores = {"all": {}}
    table = table_of(rows, ours)
    return {"columns": table.columns, "rows": table.cells, "legend": table.legend}


def graphs(run: RunFolder) -> list[dict[str, Any]]:
    """Return the curves that the run's tables have, several of one scale in one graph."""
    rows: dict[float, dict[str, float]] = {}
    if (run.path / METRICS).is_file():
        for row in read_losses(run.path):
            rows.setdefault(row["step"], {}).update(row)
    found = []
    for title, columns in GRAPHS.items():
        names = [name for name in columns if any(name in row for row in rows.values())]
        steps = [step for step in sorted(rows) if any(name in rows[step] for name in names)]
        if names:
            series = [[rows[step].get(name) for step in steps] for name in names]
            found.append({"title": title, "names": names, "values": [steps, *series]})
    return found


def environment(record: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what a run noted of where it ran, as pairs of texts."""
    pairs = []
    for key in record:
        value = record[key]
        if isinstance(value, dict):
            value = ", ".join(f"{name} {part}" for name, part in value.items())
        pairs.append((key.replace("_", " "), str(value)))
    return pairs
