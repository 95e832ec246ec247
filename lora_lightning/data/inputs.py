"""Contexts to decode, as text or JSON lines."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora_lightning.data.records import (
    context_of,
    expect,
    parse_json_lines,
    present,
    read_records,
)
from lora_lightning.errors import InputError
from lora_lightning.files import decoded, lines_of, read_lines


@dataclass(frozen=True)
class Input:
    """A context to decode.

    Attributes:
        id: the given id, or the number of the line or object, from 0.
        context: a text or token ids, as they stand.
    """

    id: int | str
    context: str | tuple[int, ...]


def read_inputs(source: str | Path, context: str = "context", id: str = "id") -> list[Input]:
    """Read contexts to decode; the list may be empty.

    Args:
        source: `.txt` with one context a line, `.jsonl` or `.json` with an object a line or one
            list of objects, plain or `.gz`, or `-` for standard input: JSON lines where the first
            line that is not blank starts with `{`, else text.
        context: what objects may call their context, a text or token ids, beside `context`.
        id: what objects may call their id, beside `id`; where none has one, they are numbered.

    Raises:
        InputError: another kind of file, a line is no JSON, lacks a key or has a value of another
            kind, or an id stands twice; the message names the line.
    """
    if str(source) == "-":
        name = "standard input"
        lines = lines_of(decoded(sys.stdin.buffer.read(), name), name)
        first = next((line for line in lines if line.strip()), "")
        if first.lstrip().startswith("{"):
            return _from_records(parse_json_lines(lines, name), context, id)
        return _from_lines(lines)
    path = Path(source)
    kind = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    if kind in (".jsonl", ".json"):
        return _from_records(read_records(path), context, id)
    if kind == ".txt":
        return _from_lines(read_lines(path))
    raise InputError(
        f"inputs={source}: unknown kind of file; give .txt (one context a line) or .jsonl"
        " (with context), or - for standard input"
    )


def _from_lines(lines: Sequence[str]) -> list[Input]:
    return [Input(number, line.removesuffix("\r")) for number, line in enumerate(lines)]


def _from_records(records: Iterable[tuple[str, Any]], context: str, id: str) -> list[Input]:
    placed = [(place, expect(record, dict, place)) for place, record in records]
    are_numbered = not any(_name(record, id, "id") in record for _, record in placed)
    places: dict[int | str, str] = {}
    inputs = []
    for number, (place, record) in enumerate(placed):
        given = number if are_numbered else _id(record, _name(record, id, "id"), place)
        if given in places:
            raise InputError(f"{place}: id {given!r} stands twice, first at {places[given]}")
        places[given] = place
        name = _name(record, context, "context")
        inputs.append(Input(given, context_of(record, place, name)))
    return inputs


def _name(record: dict[str, Any], own: str, usual: str) -> str:
    """Return which of two names a record has; the usual one where it has neither."""
    return own if own in record else usual


def _id(record: Any, key: str, place: str) -> int | str:
    id = present(record, key, place)
    if isinstance(id, str):
        return expect(id, str, f"{place}: {key!r}")
    if isinstance(id, bool) or not isinstance(id, int):
        raise InputError(f"{place}: {key!r} must be an integer or a text, found {id!r}")
    return id
