"""Published rows as a table of texts, for terminals and pages."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from rich import box
from rich.table import Column, Table
from rich.text import Text

from lora_lightning.paper.beside import distance
from lora_lightning.paper.rows import NONE, SUBSETS, PublishedRow, Scores, papers

DISPENSABLE = ("decoded", "seeds", "trained", "kind")  # where there is no room, from the first
GAP = 1  # columns of a terminal between two cells
DIFFERENCE = "in brackets: ours less theirs, in their standard deviations"
ONE_TEXT = "° read in one text alone"
APART = "≠ scored or decoded otherwise; do not compare"


def metrics_of(rows: Iterable[PublishedRow]) -> dict[str, list[str]]:
    """Return the metrics that rows have, in their order, and the subsets of each."""
    found: dict[str, set[str]] = {}
    for row in rows:
        for subset, scores in row.scores.items():
            for metric in scores:
                found.setdefault(metric, set()).add(subset)
    return {metric: [s for s in SUBSETS if s in subsets] for metric, subsets in found.items()}


@dataclass(frozen=True)
class RowsTable:
    """Rows as texts: columns, which of them are metrics, cells, and what their marks mean."""

    columns: list[str]
    metrics: list[str]
    cells: list[list[str]]
    legend: list[str]

    @property
    def width(self) -> int:
        """Columns of a terminal that it needs."""
        lines = [self.columns, *self.cells]
        return sum(max(map(len, cells)) + GAP for cells in zip(*lines, strict=True))

    def fitting(self, width: int) -> "RowsTable":
        """Return the table with as many of its columns as there is room for; metrics all stay."""
        table = self
        for name in DISPENSABLE:
            if table.width <= width:
                break
            place = table.columns.index(name)
            columns, *cells = (
                [*line[:place], *line[place + 1 :]] for line in (table.columns, *table.cells)
            )
            table = replace(table, columns=columns, cells=cells)
        return table


def table_of(rows: list[PublishedRow], ours: Scores = NONE) -> RowsTable:
    """Return rows as texts.

    Args:
        rows: of one data set.
        ours: scores to give the distance of, on the scale on which papers print; metrics that are
            not among them are left out.
    """
    metrics = metrics_of(rows)
    if ours:
        metrics = {metric: metrics[metric] for metric in metrics if metric in ours["all"]}
    heads = [
        metric if subsets == ["all"] else f"{metric} ({' / '.join(subsets)})"
        for metric, subsets in metrics.items()
    ]
    columns = ["published by", "method", "trained", "kind", "seeds", "decoded", *heads]
    body = [
        [
            source(row),
            _method(row),
            row.parameters or "-",
            row.kind,
            str(row.number_of_seeds or "-"),
            _decoded(row),
            *(
                " / ".join(score_of(row, subset, metric, ours) for subset in subsets)
                for metric, subsets in metrics.items()
            ),
        ]
        for row in rows
    ]
    marks = {
        ONE_TEXT: any(row.texts == 1 for row in rows),
        APART: any(not row.comparable for row in rows),
        DIFFERENCE: any(cell.endswith(")") for cells in body for cell in cells[6:]),
    }
    return RowsTable(columns, heads, body, [mark for mark, is_used in marks.items() if is_used])


def source(row: PublishedRow) -> str:
    """Return who published a row, with its marks."""
    paper = papers()[row.paper]
    year = f" {paper.year}" if paper.year else ""
    table = f", table {row.table}" if row.table else ""
    mark = ("°" if row.texts == 1 else "") + ("" if row.comparable else "≠")
    return (f"{paper.name}: {row.by}" if row.by else f"{paper.name}{year}{table}") + mark


def _method(row: PublishedRow) -> str:
    optimizer = "" if row.optimizer == "adamw" else f", {row.optimizer}"
    rank = "" if row.rank is None else f", rank {row.rank}"
    rate = "" if row.learning_rate is None else f", lr {row.learning_rate:g}"
    return f"{row.method}{rank}{optimizer}{rate}"


def _decoded(row: PublishedRow) -> str:
    penalty = "" if row.length_penalty is None else f"penalty {row.length_penalty}"
    return ", ".join(part for part in (row.checkpoint, penalty) if part) or "-"


def score_of(row: PublishedRow, subset: str, metric: str, ours: Scores = NONE) -> str:
    """Return a score as text, with its spread, and with the distance of ours where there is one.

    Args:
        row: of whose scores.
        subset: `all`, `seen` or `unseen`.
        metric: such as `bleu`.
        ours: on the scale on which papers print.
    """
    score = row.scores.get(subset, {}).get(metric)
    if score is None:
        return "-"
    std, interval = (part.get(subset, {}).get(metric) for part in (row.std, row.interval))
    spread = f" ± {std}" if std is not None else f" ± {interval} (95%)" if interval else ""
    away = distance(row, subset, metric, ours)
    return f"{score}{spread}" + ("" if away is None else f" ({away:+.1f})")


def rendered(title: str, table: RowsTable) -> Table:
    """Return a table as rich draws it; what does not fit is folded, never cut."""
    shown = Table(
        *(
            Column(Text(name), overflow="fold", no_wrap=name in table.metrics)
            for name in table.columns
        ),
        title=Text(title),
        title_justify="left",
        caption=Text(" · ".join(table.legend)) if table.legend else None,
        caption_justify="left",
        box=box.SIMPLE,
        show_edge=False,
        padding=(0, 1, 0, 0),
    )
    for cells in table.cells:
        shown.add_row(*map(Text, cells))
    return shown
