"""The tables of the E2E challenge, of meaning representations and texts, read as e2e-metrics does.

Columns are known by how their names begin. A table without such names has two columns, the meaning
representation first. Rows that follow each other with the same one are references of one group.
"""

import re
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from lora_lightning.errors import InputError
from lora_lightning.evaluation.segment import Segment, one_line
from lora_lightning.files import read_text
from lora_lightning.tables import TableRow, parsed_table

MEANING = re.compile(r"mr|src|source|meaning|da|dial(ogue)?[_ .-]act", re.IGNORECASE)
OUTPUT = re.compile(r"out|ref|sys", re.IGNORECASE)
REFERENCE = re.compile(r"trg|tgt|target|ref|human", re.IGNORECASE)

# UTF-8 that somebody once read in another encoding; e2e-metrics mends these four.
_DAMAGED = {"Ł": "£", "Â£": "£", "Ã©": "é", "ã©": "é"}


class Instance(NamedTuple):
    """A row of such a table.

    Attributes:
        meaning: the meaning representation; None where the text did not stand in a table.
        text: an output or a reference.
    """

    meaning: str | None
    text: str


def read_outputs(path: Path) -> list[Instance]:
    """Return the rows of a table of outputs, in order.

    Raises:
        InputError: as `read_table`, or it is not known which columns hold what.
    """
    return _instances(path, (OUTPUT,))


def read_references(path: Path) -> list[tuple[str | None, list[str]]]:
    """Return each meaning representation of a table of references with its texts, in order.

    Raises:
        InputError: as `read_outputs`.
    """
    rows = _instances(path, (REFERENCE, OUTPUT))
    return [
        (meaning, [row.text for row in group])
        for meaning, group in groupby(rows, key=lambda row: row.meaning)
    ]


def in_order_of(
    outputs: Sequence[Instance], meanings: Sequence[str | None], path: Path
) -> list[int]:
    """Return for each group of references the place of its output.

    Rows belong together by their order, as in e2e-metrics; where that would join two meaning
    representations, by these.

    Args:
        outputs: the rows of a table.
        meanings: of the groups, as many.
        path: of the outputs, for messages.

    Raises:
        InputError: the meaning representations are others, or one is there twice.
    """
    own = [output.meaning for output in outputs]
    if own == list(meanings):
        return list(range(len(own)))
    place = {meaning: index for index, meaning in enumerate(own)}
    if len(place) == len(own) and place.keys() == set(meanings):
        return [place[meaning] for meaning in meanings]
    number = next(i for i, pair in enumerate(zip(own, meanings, strict=True)) if len({*pair}) > 1)
    raise InputError(
        f"{path}: row {number + 1} is for {own[number]!r}, but group {number + 1} of the "
        f"references for {meanings[number]!r}; give outputs and references of the same inputs"
    )


def order_note(segments: Sequence[Segment]) -> str | None:
    """Say that outputs stood in another order than their references, or return None."""
    rows = [segment.id for segment in segments if isinstance(segment.id, int)]
    if rows == sorted(rows):
        return None
    return "outputs stand in another order than the references: paired by meaning representation"


def repair_note(path: Path) -> str | None:
    """Say how many characters of a table were mended as e2e-metrics does, or return None."""
    text = read_text(path)
    count = sum(map(text.count, _DAMAGED))
    return f"{path}: {count} damaged £ and é were mended, as e2e-metrics does" if count else None


def _instances(path: Path, names: Sequence[re.Pattern[str]]) -> list[Instance]:
    text = read_text(path)
    for damaged, mended in _DAMAGED.items():
        text = text.replace(damaged, mended)
    rows = parsed_table(text, path)
    meaning, output, has_header = _columns(rows[0], names, path)
    instances = [
        Instance(_tidy(row.cells[meaning]), _tidy(row.cells[output])) for row in rows[has_header:]
    ]
    if not instances:
        raise InputError(f"{path}: the table has a header only; give a row for each text")
    return instances


def _columns(
    first: TableRow, names: Sequence[re.Pattern[str]], path: Path
) -> tuple[int, int, bool]:
    """Return the columns of meaning representation and text, and whether the first row is a header.

    Args:
        first: the table's first row.
        names: how the text's column may begin, the best first.
        path: for messages.
    """
    meanings = _named(first, MEANING)
    texts = next((found for name in names if (found := _named(first, name))), [])
    if len(meanings) == len(texts) == 1 and meanings != texts:
        return meanings[0], texts[0], True
    if not meanings and not texts and len(first.cells) == 2:
        return 0, 1, False
    raise InputError(
        f"{path}:{first.line}: which columns hold what? {first.cells}; name one mr and one ref or "
        "output, or give two columns without names"
    )


def _named(header: TableRow, name: re.Pattern[str]) -> list[int]:
    return [index for index, cell in enumerate(header.cells) if name.match(cell.strip())]


def _tidy(cell: str) -> str:
    return one_line(cell).strip()
