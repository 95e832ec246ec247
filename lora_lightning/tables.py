"""Tables as text: comma- or tab-separated files, with quotes as they circulate."""

import csv
import io
from pathlib import Path
from typing import NamedTuple

from lora_lightning.errors import InputError
from lora_lightning.files import read_text

SUFFIXES = (".csv", ".tsv")
DELIMITERS = ("\t", ",", ";")


class TableRow(NamedTuple):
    """A row of a table.

    Attributes:
        line: of the file, from 1, on which it begins.
        cells: as they stand, without their quotes.
    """

    line: int
    cells: list[str]


def is_table(path: Path) -> bool:
    """Whether a file's name, with or without `.gz`, ends as that of a table."""
    name = path.name.lower().removesuffix(".gz")
    return name.endswith(SUFFIXES)


def read_table(path: Path) -> list[TableRow]:
    """Return the rows of a table that are not blank, all of one length; the first may be a header.

    The first of tab, comma and semicolon that stands in the first row divides all of them.

    Raises:
        InputError: as `read_text`, or the table is empty, a row has another length than the first
            one, or a quote is not closed; the message names the line.
    """
    return parsed_table(read_text(path), path)


def parsed_table(text: str, path: Path) -> list[TableRow]:
    """Return the rows of a table that was read already, as `read_table`.

    Args:
        text: the whole table.
        path: where it was read, for messages.

    Raises:
        InputError: as `read_table`.
    """
    return _even(_rows(text, path), path)


def column(header: TableRow, name: str, path: Path) -> int | None:
    """Return which column of a table's header has a name, None where none has.

    Args:
        header: the table's first row.
        name: the whole name.
        path: for messages.

    Raises:
        InputError: two have.
    """
    found = [index for index, cell in enumerate(header.cells) if cell.strip() == name]
    if len(found) > 1:
        raise InputError(f"{path}:{header.line}: the column {name!r} is there twice; rename one")
    return found[0] if found else None


def _rows(text: str, path: Path) -> list[TableRow]:
    first = next((line for line in text.split("\n") if line.strip()), "")
    delimiter = next((mark for mark in DELIMITERS if mark in first), ",")
    try:
        rows = _divided(text, delimiter, strict=True)
        swallowed = [row for row in rows if delimiter == "\t" and _spans_rows(row)]
    except csv.Error:
        # Quotes that do not surround a cell are text, as for every reader that circulates; only
        # where a cell then runs over a line end does nobody know where it was meant to end.
        try:
            rows = _divided(text, delimiter, strict=False)
        except csv.Error as error:
            raise InputError(f"{path}: no table ({error})") from None
        swallowed = [row for row in rows if any("\n" in cell for cell in row.cells)]
    if swallowed:
        raise InputError(
            f"{path}:{swallowed[0].line}: a quote opens here that does not close in its row; "
            "double the quotes inside of a cell, and surround it by quotes"
        )
    return [row for row in rows if any(cell.strip() for cell in row.cells)]


def _divided(text: str, delimiter: str, strict: bool) -> list[TableRow]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=strict)
    rows, line = [], 1
    for cells in reader:
        rows.append(TableRow(line, cells))
        line = reader.line_num + 1
    return rows


def _spans_rows(row: TableRow) -> bool:
    return any("\n" in cell and "\t" in cell for cell in row.cells)


def _even(rows: list[TableRow], path: Path) -> list[TableRow]:
    """Return rows as long as the first, whose blank cells at its end are no columns."""
    if not rows:
        raise InputError(f"{path}: the table is empty")
    width = len(_trimmed(rows[0].cells, 0))
    even = [TableRow(line, _trimmed(cells, width)) for line, cells in rows]
    for line, cells in even:
        if len(cells) != width:
            raise InputError(
                f"{path}:{line}: {len(cells)} cells, but the first row has {width}; "
                "surround cells that hold the delimiter by quotes"
            )
    return even


def _trimmed(cells: list[str], width: int) -> list[str]:
    """Return cells without blank ones at the end, but so many at least."""
    end = len(cells)
    while end > width and not cells[end - 1].strip():
        end -= 1
    return cells[:end]
