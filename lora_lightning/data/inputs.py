"""Contexts to decode, as text or JSON lines."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora_lightning.data.records import context_of, expect, parse_json_lines, present
from lora_lightning.errors import InputError
from lora_lightning.files import read_lines


@dataclass(frozen=True)
class Input:
    """A context to decode.

    Attributes:
        id: the given id, or the number of the line, from 0.
        context: a text or token ids, as they stand.
    """

    id: int | str
    context: str | tuple[int, ...]


def read_inputs(source: str | Path) -> list[Input]:
    """Read contexts to decode; the list may be empty.

    Args:
        source: `.txt` with one context a line, `.jsonl` with `id` and `context` (a text or token
            ids), plain or `.gz`, or `-` for standard input: JSON lines where the first line that
            is not blank starts with `{`, else text.

    Raises:
        InputError: another kind of file, a line is no JSON, lacks a key or has a value of another
            kind, or an id stands twice; the message names the line.
    """
    if str(source) == "-":
        lines = _standard_input()
        first = next((line for line in lines if line.strip()), "")
        return _parse_inputs(lines, "standard input", json_lines=first.lstrip().startswith("{"))
    path = Path(source)
    kind = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    if kind not in {".txt", ".jsonl"}:
        raise InputError(
            f"inputs={source}: unknown kind of file; give .txt (one context a line) or .jsonl"
            " (with id and context), or - for standard input"
        )
    return _parse_inputs(read_lines(path), str(path), json_lines=kind == ".jsonl")


def _standard_input() -> list[str]:
    try:
        text = sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"standard input: not UTF-8 ({error.reason})") from None
    lines = text.split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def _parse_inputs(lines: Sequence[str], name: str, json_lines: bool) -> list[Input]:
    if not json_lines:
        return [Input(number, line.removesuffix("\r")) for number, line in enumerate(lines)]
    places: dict[int | str, str] = {}
    inputs = []
    for place, record in parse_json_lines(lines, name):
        id = _id(record, place)
        if id in places:
            raise InputError(f"{place}: id {id!r} stands twice, first at {places[id]}")
        places[id] = place
        inputs.append(Input(id, context_of(record, place)))
    return inputs


def _id(record: Any, place: str) -> int | str:
    id = present(record, "id", place)
    if isinstance(id, str):
        return expect(id, str, f"{place}: 'id'")
    if isinstance(id, bool) or not isinstance(id, int):
        raise InputError(f"{place}: 'id' must be an integer or a text, found {id!r}")
    return id
