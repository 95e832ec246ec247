"""A sweep's tables as text: one row a job, and mean ± std over seeds."""

import sys
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from lora_lightning.errors import presentable
from lora_lightning.sweep.record import Plan, SweepFolder
from lora_lightning.sweep.table import Row, mean_over_seeds, score_columns, write_table


@dataclass(frozen=True)
class TextTable:
    """A table whose cells are texts, for the terminal and for the page."""

    title: str
    columns: list[str]
    rows: list[list[str]]


def show_sweep(sweep: SweepFolder) -> None:
    """Print a sweep's tables, and write sweep.csv anew with what is known by now."""
    rows = write_table(sweep)
    # Where no terminal says how wide it is, no column is cut.
    console = Console(width=None if sys.stdout.isatty() else 500)
    for table in tables(sweep, rows):
        shown = Table(
            *(Column(Text(name)) for name in table.columns),
            title=Text(table.title),
            title_justify="left",
        )
        for cells in table.rows:
            shown.add_row(*map(Text, cells))
        console.print(shown)
    for line in errors(rows):
        console.print(line, markup=False, highlight=False)


def errors(rows: list[Row]) -> list[str]:
    """Return a line for each job that failed."""
    return [presentable(f"job {row['job']}: {row['error']}") for row in rows if row.get("error")]


def tables(sweep: SweepFolder, rows: list[Row]) -> list[TextTable]:
    """Return the table of jobs and, where seeds were swept, that of means over them."""
    plan = sweep.plan
    title = presentable(sweep.path.name)
    title += f": objective is {presentable(plan.metric)}" if plan.metric else ""
    shown = [jobs_table(title, plan, rows)]
    if "seed" in plan.axes and any(row["status"] == "finished" for row in rows):
        shown.append(seeds_table(plan, rows))
    return shown


def jobs_table(title: str, plan: Plan, rows: list[Row]) -> TextTable:
    """Return one row a job: axes, objective, the scores beside it, size and time."""
    scores = [name for name in score_columns(plan, rows) if name != plan.metric]
    names = ["job", "status", *plan.axes, "objective", *scores, "trainable_parameters", "seconds"]
    cells = [[cell(row.get(name)) for name in names] for row in rows]
    return TextTable(title, [cell(name) for name in names], cells)


def seeds_table(plan: Plan, rows: list[Row]) -> TextTable:
    """Return mean ± std for each setting of the axes other than the seed."""
    others = [axis for axis in plan.axes if axis != "seed"]
    scores = [name for name in score_columns(plan, rows) if name != plan.metric]
    names = [*others, "seeds", "objective", *scores]
    means = mean_over_seeds(plan, rows)
    cells = [[cell(line.get(name)) for name in names] for line in means]
    return TextTable("mean ± std over seeds", [cell(name) for name in names], cells)


def cell(value: Any) -> str:
    """Return a cell's text: four decimals, `mean ± std` of a pair, `-` for what is not known."""
    if value is None:
        return "-"
    if isinstance(value, tuple):
        average, deviation = value
        return f"{average:.4f}" + ("" if deviation is None else f" ± {deviation:.4f}")
    return f"{value:.4f}" if isinstance(value, float) else presentable(str(value))
