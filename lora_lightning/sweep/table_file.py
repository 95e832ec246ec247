"""sweep.csv: kept by whoever begins or ends a job, made anew from the folders when it is shown.

A job replaces its own row and reads no other job's folder, so an update opens as many files in a
sweep of five thousand jobs as in one of five. Jobs that end at the same time wait for each other,
and a reader never sees half a table. Where the file is missing, or is no table of this sweep, it is
made anew; what a killed job did not write is in its folder's record, and so in the table that is
shown.
"""

import csv
from bisect import bisect
from dataclasses import dataclass
from io import StringIO
from itertools import pairwise
from pathlib import Path

from lora_lightning.files import atomic_text
from lora_lightning.runs.claim import in_turn
from lora_lightning.sweep.record import TABLE, Job, Plan, SweepFolder, place_of
from lora_lightning.sweep.table import Row, columns, read_rows, row_of


@dataclass(frozen=True)
class TableFile:
    """A sweep.csv as it stands.

    Attributes:
        names: of the columns.
        rows: their cells as texts, empty where nothing is known.
        texts: each row as it stands in the file; to make them anew would take most of an update.
    """

    names: list[str]
    rows: list[list[str]]
    texts: list[str]

    @classmethod
    def of(cls, names: list[str], rows: list[list[str]]) -> "TableFile":
        """Return a table of these cells."""
        return cls(names, rows, [_text(cells) for cells in rows])

    def column(self, name: str) -> list[str]:
        """Return a column's cells, in the order of the jobs."""
        place = self.names.index(name)
        return [row[place] for row in self.rows]


def write_table(sweep: SweepFolder) -> list[Row]:
    """Write sweep.csv anew from the jobs' folders, and return its rows."""
    with in_turn(sweep.path):
        rows = read_rows(sweep)
        _write(sweep, _of_folders(sweep.plan, rows))
    return rows


def update_table(sweep: SweepFolder, job: Job) -> TableFile:
    """Give a job that began or ended its row in sweep.csv, and return the table.

    Args:
        sweep: the folder.
        job: what its record says.
    """
    plan = sweep.plan
    with in_turn(sweep.path):
        if (table := read_table(sweep)) is None:
            table = _of_folders(plan, read_rows(sweep))
        table = with_row(plan, table, row_of(Path(sweep.path, job.results or job.job), job, plan))
        _write(sweep, table)
    return table


def read_table(sweep: SweepFolder) -> TableFile | None:
    """Return sweep.csv as it stands, None where there is none, or it is no table of this sweep."""
    plan = sweep.plan
    try:
        with (sweep.path / TABLE).open(encoding="utf-8", newline="\n") as file:
            lines = file.readlines()
        reader = csv.reader(lines, strict=True)
        ends = [(cells, reader.line_num) for cells in reader]
    except (OSError, UnicodeError, csv.Error):
        return None
    names = ends[0][0] if ends else []
    rows = [cells for cells, _ in ends[1:]]
    is_whole = bool(lines) and lines[-1].endswith("\n") and len(rows) >= len(plan.jobs)
    is_ours = names == columns(plan, [names]) and all(len(cells) == len(names) for cells in rows)
    if not (is_whole and is_ours):
        return None
    texts = ["".join(lines[begin:end]) for (_, begin), (_, end) in pairwise(ends)]
    return TableFile(names, rows, texts)


def first_failed(sweep: SweepFolder) -> str | None:
    """Return the first job that failed, None where none has."""
    if (table := read_table(sweep)) is None:
        found = (job.job for job in sweep.jobs() if job.status == "failed")
    else:
        pairs = zip(table.column("job"), table.column("status"), strict=True)
        found = (job for job, status in pairs if status == "failed")
    return next(found, None)


def with_row(plan: Plan, table: TableFile, row: Row) -> TableFile:
    """Return a table in which a job's row is this one, in its place."""
    names = columns(plan, [table.names, row])
    if names != table.names:
        known = [dict(zip(table.names, cells, strict=True)) for cells in table.rows]
        table = TableFile.of(names, [[cells.get(name, "") for name in names] for cells in known])
    own, jobs = _cells(names, row), table.column("job")
    if own[0] in jobs:
        first = jobs.index(own[0])
        after = first + 1
    else:
        first = after = bisect(jobs, place_of(own[0]), key=place_of)
    rows = [*table.rows[:first], own, *table.rows[after:]]
    texts = [*table.texts[:first], _text(own), *table.texts[after:]]
    return TableFile(names, rows, texts)


def _of_folders(plan: Plan, rows: list[Row]) -> TableFile:
    names = columns(plan, rows)
    return TableFile.of(names, [_cells(names, row) for row in rows])


def _cells(names: list[str], row: Row) -> list[str]:
    return ["" if row.get(name) is None else str(row[name]) for name in names]


def _text(cells: list[str]) -> str:
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


def _write(sweep: SweepFolder, table: TableFile) -> None:
    with atomic_text(sweep.path / TABLE) as file:
        file.writelines([_text(table.names), *table.texts])
