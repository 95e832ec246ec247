"""A sweep on the terminal, or as JSON."""

import json
import sys
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from lora_lightning.config.study import direction_of
from lora_lightning.errors import presentable
from lora_lightning.paper import table as paper_table
from lora_lightning.process.terminal import NO_TERMINAL, terminal_width
from lora_lightning.sweep.front import on_front
from lora_lightning.sweep.published import published_beside
from lora_lightning.sweep.record import TABLE, Plan, SweepFolder
from lora_lightning.sweep.table import Row, mean_over_seeds
from lora_lightning.sweep.table_file import write_table
from lora_lightning.sweep.text import PARTIAL, TextTable, tables

MOST_ROWS = 100  # of a table on a terminal


def show_sweep(sweep: SweepFolder, wide: bool = False) -> None:
    """Print a sweep's tables, and write sweep.csv anew with what is known by now.

    Args:
        sweep: the folder.
        wide: show every column and every job, however broad and long the table gets.
    """
    rows = write_table(sweep)
    console = Console(width=NO_TERMINAL if wide else terminal_width())
    most = len(rows) if wide else MOST_ROWS
    for table in tables(sweep, rows, None if wide else console.width, most):
        console.print(rendered(table))
    for beside in published_beside(sweep.plan, rows):
        console.print(paper_table.rendered(beside.title, beside.table.fitting(console.width)))
    lines = [PARTIAL] if any(row.get("partial") for row in rows) else []
    lines += [f"all {len(rows)} jobs: --wide, or {TABLE}"] if len(rows) > most else []
    for line in [*lines, *errors(rows, most)]:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def rendered(table: TextTable) -> Table:
    """Return a table as rich draws it; what does not fit is folded, never cut."""
    shown = Table(
        *(Column(Text(name), overflow="fold", no_wrap=False) for name in table.columns),
        title=Text(table.title),
        title_justify="left",
        box=box.SIMPLE,
        show_edge=False,
        padding=(0, 1, 0, 0),
    )
    for number, cells in enumerate(table.rows):
        is_best = number == 0 and table.is_best_first
        shown.add_row(*map(Text, cells), style="bold" if is_best else None)
    return shown


def print_json(sweep: SweepFolder) -> None:
    """Print a sweep as one line of JSON: its jobs, means over seeds, and published rows."""
    rows, plan = write_table(sweep), sweep.plan
    means = [
        {key: _plain(value) for key, value in line.items()} for line in mean_over_seeds(plan, rows)
    ]
    record = {
        "folder": str(sweep.path),
        "metric": plan.metric,
        "direction": directions_of(plan),
        "front": front_of(plan, rows),
        "axes": plan.axes,
        "jobs": rows,
        "means_over_seeds": means if "seed" in plan.axes else [],
        "published": [
            asdict(row) for beside in published_beside(plan, rows) for row in beside.rows
        ],
    }
    sys.stdout.write(json.dumps(record, ensure_ascii=False) + "\n")


def directions_of(plan: Plan) -> str | list[str] | None:
    """Return which way each objective is better."""
    directions = [direction_of(metric) for metric in plan.metrics]
    if len(directions) > 1:
        return directions
    return directions[0] if directions else None


def front_of(plan: Plan, rows: list[Row]) -> list[str]:
    """Return the jobs on the Pareto front, where there are several objectives."""
    if len(plan.metrics) < 2:
        return []
    is_on = on_front(rows, plan.metrics)
    return [row["job"] for row, on in zip(rows, is_on, strict=True) if on]


def errors(rows: list[Row], most: int | None = None) -> list[str]:
    """Return a line for each job that failed, for the first `most` where it is given."""
    lines = [presentable(f"job {row['job']}: {row['error']}") for row in rows if row.get("error")]
    further = [] if most is None else lines[most:]
    return lines[:most] + ([f"and {len(further)} more jobs with errors"] if further else [])


def _plain(value: Any) -> Any:
    return {"mean": value[0], "std": value[1]} if isinstance(value, tuple) else value
