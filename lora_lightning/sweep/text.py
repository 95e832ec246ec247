"""A sweep's tables as texts: which columns have room, the best row first."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from lora_lightning.config.commands import TRAINABLE
from lora_lightning.config.study import direction_of
from lora_lightning.errors import presentable
from lora_lightning.sweep.front import on_front
from lora_lightning.sweep.record import Plan, SweepFolder
from lora_lightning.sweep.table import (
    Row,
    best_first,
    mean_over_seeds,
    score_columns,
)

ARROWS = {"minimize": "↓", "maximize": "↑"}
MAIN = ("val/loss", "bleu", "meteor", "ter", "nist", "cider", "rouge_l")
MAIN_SCORES = 3  # at most, beside the objective
PARTIAL = "* partial: of a part of the split's contexts alone (data.limit_test)"
GAP = 2  # columns of a terminal between two cells


@dataclass(frozen=True)
class TextTable:
    """A table whose cells are texts, for the terminal and for the page."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    is_best_first: bool

    @property
    def width(self) -> int:
        """Columns of a terminal that it needs."""
        lines = [self.columns, *self.rows]
        return sum(max(map(len, cells)) + GAP for cells in zip(*lines, strict=True))


def tables(
    sweep: SweepFolder, rows: list[Row], width: int | None = None, most: int | None = None
) -> list[TextTable]:
    """Return the table of jobs and, where seeds were swept, that of means over them.

    Args:
        sweep: the folder.
        rows: its jobs.
        width: columns of the terminal; None shows every column.
        most: rows of a table at most, the best; None shows every row.
    """
    plan = sweep.plan
    made = [jobs_table(presentable(sweep.path.name), plan, rows, width, most)]
    if "seed" in plan.axes and any(row["status"] == "finished" for row in rows):
        made.append(seeds_table(plan, rows, width, most))
    return made


def jobs_table(
    title: str, plan: Plan, rows: list[Row], width: int | None, most: int | None = None
) -> TextTable:
    """Return one row a job: axes, objective, the scores beside it, time and status."""
    last = ["seconds", "status"] if width else ["trainable_parameters", "seconds", "status"]
    title, ordered = _best(title, best_first(plan, rows), most)
    return fitting(title, ["job"], plan.axes, last, plan, ordered, width)


def seeds_table(
    plan: Plan, rows: list[Row], width: int | None, most: int | None = None
) -> TextTable:
    """Return mean ± std for each setting of the axes other than the seed."""
    others = [axis for axis in plan.axes if axis != "seed"]
    ordered = best_first(plan, mean_over_seeds(plan, rows))
    title, means = _best("mean ± std over seeds", ordered, most)
    return fitting(title, [], others, ["seeds"], plan, means, width)


def _best(title: str, rows: list[Row], most: int | None) -> tuple[str, list[Row]]:
    """Return the first rows, and a title that says how many there are."""
    if most is None or len(rows) <= most:
        return title, rows
    return f"{title}, the best {most} of {len(rows)}", rows[:most]


def fitting(
    title: str, first: list[str], axes: list[str], last: list[str],
    plan: Plan, rows: list[Row], width: int | None,
) -> TextTable:  # fmt: skip
    """Return the table with the most columns that fit.

    Where it is too broad, swept keys are shortened to their last part, and scores are left out.

    Args:
        title: of the table.
        first: columns before the swept keys.
        axes: the swept keys.
        last: columns after the scores.
        plan: of the sweep.
        rows: in their order.
        width: columns of the terminal; None shows every score.
    """
    objective = ["objective"] if plan.objective else plan.metrics
    scores = [name for name in score_columns(plan, rows) if name not in plan.metrics]
    if width is not None:
        scores = main_scores(scores)

    def made(count: int, name_of: Callable[[str], str]) -> TextTable:
        names = [*first, *axes, *objective, *scores[:count], *last]
        heads = [_head(name, plan, name_of) for name in names]
        cells = [[cell(row, name, plan) for name in names] for row in rows]
        best = best_rows(plan, rows)
        is_ordered = any(best)
        if is_ordered:
            heads = ["", *heads]
            cells = [["★" if is_best else "", *c] for is_best, c in zip(best, cells, strict=True)]
        return TextTable(title, heads, cells, is_ordered)

    short = _last_parts(axes)
    table = made(len(scores), str)
    for count in range(len(scores), -1, -1):
        if width is None or table.width <= width:
            break
        table = made(count, lambda name: short.get(name, name))
    return table


def best_rows(plan: Plan, rows: list[Row]) -> list[bool]:
    """Return which rows get a star: the first, or of several objectives the whole front."""
    if len(plan.metrics) > 1:
        return on_front(rows, plan.metrics)
    return [n == 0 and row.get("objective") is not None for n, row in enumerate(rows)]


def main_scores(names: list[str]) -> list[str]:
    """Return the scores that say most: of each metric one, the test set's first."""
    chosen: list[str] = []
    for metric in MAIN:
        found = [name for name in names if name == metric or name.split("/", 1)[-1] == metric]
        chosen += sorted(found, key=lambda name: not name.startswith("test/"))[:1]
    return chosen[:MAIN_SCORES]


def cell(row: Row, name: str, plan: Plan) -> str:
    """Return a cell's text; a score of a part of the split has a star behind it."""
    value = row.get(name)
    score = plan.objective if name == "objective" else name
    partial = row.get("partial", "").split()
    mark = "*" if value is not None and score in partial else ""
    return value_text(name, value) + mark


def value_text(name: str, value: Any) -> str:
    """Return four decimals, `mean ± std` of a pair, minutes of seconds, `-` for what is unknown."""
    if value is None:
        return "-"
    if name == "seconds" and not isinstance(value, tuple):
        return str(timedelta(seconds=round(value))).removeprefix("0:")
    if isinstance(value, tuple):
        average, deviation = value
        return f"{average:.4f}" + ("" if deviation is None else f" ± {deviation:.4f}")
    if name == TRAINABLE:
        return f"{value:.0f}"
    return f"{value:.4f}" if isinstance(value, float) else presentable(str(value))


def _head(name: str, plan: Plan, name_of: Callable[[str], str]) -> str:
    metric = plan.objective if name == "objective" else name
    if metric in plan.metrics:
        return presentable(f"{metric} {ARROWS[direction_of(metric)]}")
    if name == "seconds":
        return "time"
    return presentable(name_of(name))


def _last_parts(axes: list[str]) -> dict[str, str]:
    """Return each key's last part, where no other key has the same."""
    parts = [axis.rpartition(".")[2] for axis in axes]
    return {a: part for a, part in zip(axes, parts, strict=True) if parts.count(part) == 1}
