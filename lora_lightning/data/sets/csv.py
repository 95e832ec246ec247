"""Own data as a table with a header, comma- or tab-separated."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lora_lightning.data.example import Example
from lora_lightning.data.own_files import OwnFilesDataModule, names_in
from lora_lightning.data.records import require_rows
from lora_lightning.errors import InputError
from lora_lightning.ranges import Text, ranged
from lora_lightning.tables import TableRow, column, read_table

COLUMNS = {part: part for part in ("context", "completion", "category", "cate")}
NEEDED = ("context", "completion")
SEEN = {"true": True, "false": False, "": None}


def read_csv(path: Path, columns: Mapping[str, str] = COLUMNS) -> list[Example]:
    """Read a table with a column of contexts and one of completions, a row each.

    Optional are a category and `cate` (`true` = training holds the category).

    Args:
        path: the file, plain or `.gz`.
        columns: what each part is called in the header.

    Raises:
        InputError: as `read_table`, or the header lacks a column or has it twice; the message names
            the line.
    """
    header, *rows = read_table(path)
    places = {part: column(header, name, path) for part, name in columns.items()}
    for part in NEEDED:
        if places[part] is None:
            raise InputError(
                f"{path}:{header.line}: no column {columns[part]!r} for the {part} in "
                f"{header.cells}; name it by data.columns={{{part}: …}}"
            )
    return require_rows([_example(row, places, path) for row in rows], path)


def _example(row: TableRow, places: Mapping[str, int | None], path: Path) -> Example:
    cells = {part: "" if i is None else row.cells[i] for part, i in places.items()}
    seen = cells["cate"].strip().lower()
    if seen not in SEEN:
        raise InputError(f"{path}:{row.line}: cate must be true, false or empty, found {seen!r}")
    return Example(cells["context"], cells["completion"], cells["category"] or None, SEEN[seen])


@ranged("data")
class CsvDataModule(OwnFilesDataModule):
    """Own data as tables with a header, one file a split.

    Args:
        columns: what context, completion, category and cate are called in the header; a part that
            is not named has its own name.
        **shared: as `OwnFilesDataModule`.
    """

    kind = "a table"

    def __init__(self, *, columns: Mapping[str, Text] = COLUMNS, **shared: Any) -> None:
        super().__init__(**shared)
        self.columns = names_in(columns, COLUMNS, "data.columns")

    @property
    def reading(self) -> dict[str, str]:
        """What decides the rows beside the file: the names of the columns."""
        return self.columns

    def read(self, path: Path) -> list[Example]:
        """Return the rows of a table."""
        return read_csv(path, self.columns)
