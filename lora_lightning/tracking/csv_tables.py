"""Reading metrics.csv and diagnostics.csv, and taking them back to an earlier update."""

import csv
import os
from pathlib import Path

from lora_lightning.errors import InputError
from lora_lightning.files import atomic_text, decoded, read_bytes

Row = dict[str, float]
UNSMOOTHED = "train/loss_unsmoothed"
TAIL_BYTES = 1 << 16


def read_metrics(path: Path) -> list[Row]:
    """Return the rows of such a file, each without its empty cells.

    A row without a line end is left out: it is still being written, or its process was killed.

    Raises:
        InputError: the file is missing, is not UTF-8, or has a line that is no row of numbers.
    """
    return _rows(path, read_bytes(path))


def last_with(path: Path, column: str) -> Row:
    """Return the last row of such a file that has a column; empty where none has.

    Mostly a short part at the file's end is read.

    Raises:
        InputError: as `read_metrics`.
    """
    with path.open("rb") as file:
        header = file.readline()
        file.seek(max(len(header), file.seek(0, os.SEEK_END) - TAIL_BYTES))
        is_whole = file.tell() == len(header)
        tail = file.read()
    if not is_whole:
        tail = tail[tail.find(b"\n") + 1 :]
        try:
            rows = _rows(path, header + tail)
        except InputError:  # whose line is not the file's
            rows = []
        if found := [row for row in rows if column in row]:
            return found[-1]
    found = [row for row in read_metrics(path) if column in row]
    return found[-1] if found else {}


def read_losses(folder: Path) -> list[Row]:
    """Return the rows of a run's metrics.csv, with the unsmoothed training loss of diagnostics.csv.

    Args:
        folder: the run's.

    Raises:
        InputError: as `read_metrics`.
    """
    rows, diagnostics = read_metrics(folder / "metrics.csv"), folder / "diagnostics.csv"
    found = read_metrics(diagnostics) if diagnostics.is_file() else []
    plain = {row["step"]: row[UNSMOOTHED] for row in found if UNSMOOTHED in row}
    return [
        row | {UNSMOOTHED: plain[row["step"]]}
        if "train/loss" in row and row["step"] in plain
        else row
        for row in rows
    ]


def require_whole(path: Path, size: int | None) -> None:
    """Check that a file, if it exists, holds the rows that it had at a checkpoint.

    Args:
        path: the file.
        size: in bytes, at the checkpoint; None is not known. What follows does not matter.

    Raises:
        InputError: as `read_metrics`, or it is shorter.
    """
    if not path.is_file():
        return
    mend = "put it back as it was, or remove it to go on without its rows"
    content = read_bytes(path)[:size]
    if len(content) < (size or 1):
        raise InputError(f"{path}: cut off after {len(content)} bytes; {mend}")
    try:
        _rows(path, content)
    except InputError as error:
        raise InputError(f"{error}; {mend}") from None


def take_back(path: Path, size: int | None, step: int) -> None:
    """Remove what was written into a file, which need not exist, since a checkpoint.

    Args:
        path: the file.
        size: in bytes, at the checkpoint; None is not known.
        step: updates at the checkpoint.
    """
    if not path.is_file():
        return
    if size is not None:
        if path.stat().st_size > size:
            os.truncate(path, size)
        return
    header, *rows = path.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [row for row in rows if row.endswith("\n") and float(row.partition(",")[0]) <= step]
    with atomic_text(path) as file:
        file.writelines([header, *kept])


def _rows(path: Path, content: bytes) -> list[Row]:
    text = decoded(content, path)
    lines = text[: text.rfind("\n") + 1].split("\n")[:-1]
    rows: list[Row] = []
    try:
        header, *cells = list(csv.reader(lines, strict=True)) or [[]]
        for row in cells:
            values = zip(header, row, strict=True)
            rows.append({key: float(value) for key, value in values if value or key == "step"})
    except (csv.Error, ValueError) as error:
        raise InputError(f"{path}:{len(rows) + 2}: no row of the table ({error})") from None
    return rows
