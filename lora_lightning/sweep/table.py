"""A sweep's table as its jobs' folders have it: one row a job.

A score that is computed later, by `evaluate.py run=<job's folder>`, is in it the next time.
"""

import math
from collections.abc import Iterable
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from lora_lightning.config.study import direction_of
from lora_lightning.runs.stored_results import read_record, read_scores
from lora_lightning.sweep.front import front_first
from lora_lightning.sweep.record import Job, Plan, SweepFolder
from lora_lightning.tracking.csv_tables import last_with

FIRST = ("job", "status")
LAST = ("trainable_parameters", "seconds", "not_computed", "partial", "error", "overrides",
        "folder")  # fmt: skip
Row = dict[str, Any]


def read_rows(sweep: SweepFolder) -> list[Row]:
    """Return a row a job: axes, objective, scores, status and folder; what is unknown is absent."""
    plan = sweep.plan
    return [row_of(Path(sweep.path, job.results or job.job), job, plan) for job in sweep.jobs()]


def columns(plan: Plan, rows: Iterable[Iterable[str]]) -> list[str]:
    """Return the table's columns: axes and objective first, then every score that a job has."""
    scores = {name: None for row in rows for name in row if "/" in name or name in _PLAIN}
    named = (*FIRST, *plan.axes, "objective", *sorted(scores, key=_validation_first), *LAST)
    return list(dict.fromkeys(named))


def best_first(plan: Plan, rows: list[Row]) -> list[Row]:
    """Return rows from the best objective on; those without one follow in their order.

    Of several objectives those on the Pareto front come first.
    """
    if len(plan.metrics) > 1:
        return front_first(plan, rows)

    def place(row: Row) -> tuple[bool, float]:
        value = row.get("objective")
        value = value[0] if isinstance(value, tuple) else value
        if value is None or plan.objective is None or value != value:
            return True, 0.0
        return False, value if direction_of(plan.objective) == "minimize" else -value

    return sorted(rows, key=place)


def score_columns(plan: Plan, rows: list[Row]) -> list[str]:
    """Return the columns that hold scores."""
    return [c for c in columns(plan, rows) if c not in (*FIRST, *LAST, *plan.axes, "objective")]


def mean_over_seeds(plan: Plan, rows: list[Row]) -> list[Row]:
    """Return mean and sample standard deviation over seeds for each setting of the other axes.

    Each score becomes `(mean, std)`; std is None for a single seed. Jobs that did not finish, and
    scores that could not be computed, are left out, and `seeds` says how many jobs are in.
    """
    others = [axis for axis in plan.axes if axis != "seed"]
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        if row["status"] == "finished":
            groups.setdefault(tuple(row.get(axis) for axis in others), []).append(row)
    means = []
    for setting, members in groups.items():
        line: Row = dict(zip(others, setting, strict=True)) | {"seeds": len(members)}
        for name in ("objective", *score_columns(plan, rows), "trainable_parameters", "seconds"):
            values = [row[name] for row in members if row.get(name) is not None]
            if values:
                line[name] = (mean(values), stdev(values) if len(values) > 1 else None)
        partial = {name: None for row in members for name in row.get("partial", "").split()}
        line["partial"] = " ".join(partial)
        means.append(line)
    return means


def axis_value(overrides: list[str], axis: str) -> str | None:
    """Return what a job's overrides set `axis` to, without quotation marks."""
    given = dict(override.lstrip("+").split("=", 1) for override in overrides if "=" in override)
    value = given.get(axis)
    return None if value is None else value.strip("'\"")


def row_of(folder: Path, job: Job, plan: Plan) -> Row:
    """Return a job's row.

    Args:
        folder: of the job.
        job: what its record says.
        plan: of the sweep.
    """
    row: Row = {"job": job.job, "status": job.status}
    row |= {axis: axis_value(job.overrides, axis) for axis in plan.axes}
    row |= {"objective": None, "seconds": job.seconds, "error": job.error}
    row |= {"overrides": " ".join(job.overrides), "folder": str(folder)}
    if job.status == "finished":
        row |= _scores(folder)
    if job.status in ("finished", "pruned"):
        row |= _validation(folder)
    if isinstance(job.objective, list):
        row |= zip(plan.metrics, map(_finite, job.objective), strict=False)
    else:
        row["objective"] = _finite(job.objective)
    if (folder / "run.json").is_file():
        row["trainable_parameters"] = read_record(folder / "run.json").parameters.trainable
    return row


def _validation(folder: Path) -> Row:
    """Return the metrics of the last validation."""
    path = folder / "metrics.csv"
    last = last_with(path, "val/loss") if path.is_file() else {}
    return {name: _finite(value) for name, value in last.items() if name.startswith("val/")}


def _finite(value: float | None) -> float | None:
    """Return None for what is no number: it has no place in a mean or a figure."""
    return value if value is not None and math.isfinite(value) else None


# Of evaluate.py's own sweeps.
_PLAIN = ("bleu", "nist", "meteor", "rouge_l", "cider", "ter", "slot_error", "entity_coverage")


def _scores(folder: Path) -> Row:
    """Return `<split>/<metric>` → score; None for one that could not be computed."""
    row: Row = {}
    holes: list[str] = []
    partial: list[str] = []
    for path in [folder / "metrics.json", *sorted(folder.glob("evaluation/*/metrics.json"))]:
        if path.is_file():
            content = read_scores(path)
            prefix = "" if path.parent == folder else f"{path.parent.name}/"
            row |= {prefix + metric: value for metric, value in content.scores.items()}
            holes += [prefix + metric for metric in content.not_computed]
            partial += [prefix + metric for metric in content.scores if content.partial]
    row |= {"not_computed": " ".join(holes)} if holes else {}
    return row | ({"partial": " ".join(partial)} if partial else {})


def _validation_first(name: str) -> tuple[bool, bool]:
    return (not name.startswith("val/"), name not in ("val/loss",))
