"""Own data as JSON lines, and inputs to decode as text or JSON lines."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora_lightning.data.datamodule import DataToTextModule
from lora_lightning.data.example import Example
from lora_lightning.data.records import expect, field, parse_json_lines, present, require_rows
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


def read_jsonl(path: Path) -> list[Example]:
    """Read JSON lines with `context` and `completion`, each a text or token ids, plain or `.gz`.

    Token ids are taken as they stand, end tokens included. Optional are `category` (a text) and
    `cate` (true = training holds the category), the reference's name for it.

    Raises:
        InputError: the file is missing, empty or not UTF-8, a line is no JSON, lacks a key or has
            a value of another kind; the message names the line.
    """
    lines = parse_json_lines(read_lines(path), str(path))
    return require_rows([_example(record, place) for place, record in lines], path)


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
        inputs.append(Input(id, _context(record, place)))
    return inputs


def _id(record: Any, place: str) -> int | str:
    id = present(record, "id", place)
    if isinstance(id, str):
        return expect(id, str, f"{place}: 'id'")
    if isinstance(id, bool) or not isinstance(id, int):
        raise InputError(f"{place}: 'id' must be an integer or a text, found {id!r}")
    return id


def _example(record: Any, place: str) -> Example:
    return Example(
        context=_context(record, place),
        completion=_text_or_ids(record, "completion", place),
        category=_optional(record, "category", str, place),
        seen=_optional(record, "cate", bool, place),
    )


def _context(record: Any, place: str) -> str | tuple[int, ...]:
    context = _text_or_ids(record, "context", place)
    if context == ():
        raise InputError(f"{place}: 'context' has no token id; it needs its end token at least")
    return context


def _text_or_ids(record: Any, key: str, place: str) -> str | tuple[int, ...]:
    value = present(record, key, place)
    if isinstance(value, list):
        ids = tuple(expect(id, int, f"{place}: token id in {key!r}") for id in value)
        if any(id < 0 for id in ids):
            raise InputError(f"{place}: {key!r} has the negative token id {min(ids)}")
        return ids
    if not isinstance(value, str):
        raise InputError(f"{place}: {key!r} must be a text or a list of token ids, found {value!r}")
    return expect(value, str, f"{place}: {key!r}")


def _optional(record: dict[str, Any], key: str, kind: type[Any], place: str) -> Any:
    return None if record.get(key) is None else field(record, key, kind, place)


class JsonlDataModule(DataToTextModule):
    """Own data, one JSON-lines file a split.

    Args:
        train: file of the training rows; each file is needed only by what reads it.
        valid: file of the validation rows.
        test: file of the rows to decode and score.
        **shared: as `DataToTextModule`.
    """

    read = staticmethod(read_jsonl)

    def __init__(
        self,
        *,
        train: str | Path | None = None,
        valid: str | Path | None = None,
        test: str | Path | None = None,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        self.paths = {"train": train, "valid": valid, "test": test}

    @property
    def has_validation(self) -> bool:
        """Whether `valid` names a file."""
        return self.paths["valid"] is not None

    def path(self, split: str) -> Path:
        """Return the path of a split's file.

        Raises:
            InputError: the split's key is null.
        """
        path = self.paths[split]
        if path is None:
            raise InputError(f"data.{split} is null; set it to a JSON-lines file")
        return Path(path)
