"""Checked access to JSON records: what is wrong is said with its place."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from lora_lightning.errors import InputError
from lora_lightning.files import lines_of, parse_json, parse_json_line, read_text

Kind = TypeVar("Kind")
Rows = TypeVar("Rows", bound=list)

KIND_NAMES: dict[type, str] = {
    str: "a text",
    int: "an integer",
    bool: "true or false",
    list: "a list",
    dict: "an object",
}


def parse_json_lines(lines: Iterable[str], name: str) -> Iterator[tuple[str, Any]]:
    """Yield (place, value) for every line that is not blank; place is `name:line`, from 1.

    Raises:
        InputError: a line is no JSON; the message names it.
    """
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        place = f"{name}:{number}"
        yield place, parse_json_line(line, place)


def read_records(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield (place, value) of each JSON record of a file, plain or `.gz`.

    A file that begins with `[` is one JSON list of records, any other has a record a line.

    Raises:
        InputError: the file is missing, is not UTF-8, or is no JSON; the message names the line.
    """
    text = read_text(path)
    if not text.lstrip().startswith("["):
        yield from parse_json_lines(lines_of(text, path), str(path))
        return
    for number, record in enumerate(parse_json(text, path), start=1):
        yield f"{path}: entry {number}", record


def present(record: Any, key: str, place: str) -> Any:
    """Return `record[key]`, of whatever kind.

    Raises:
        InputError: `record` is no object or lacks the key.
    """
    expect(record, dict, place)
    if key not in record:
        raise InputError(f"{place}: no {key!r} in {_shown(record)}")
    return record[key]


def field(record: Any, key: str, kind: type[Kind], place: str) -> Kind:
    """Return `record[key]`, which must be there and be of `kind`.

    Raises:
        InputError: `record` is no object, lacks the key, or holds another kind of value there.
    """
    return expect(present(record, key, place), kind, f"{place}: {key!r}")


def expect(value: Any, kind: type[Kind], place: str) -> Kind:
    """Return `value`, which must be of `kind`; a text must have a UTF-8 form.

    Raises:
        InputError: it is not.
    """
    # In Python true is an integer; in a data file it is a mistake.
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise InputError(f"{place}: must be {KIND_NAMES[kind]}, found {_shown(value)}")
    if isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
        raise InputError(f"{place}: half a surrogate pair (an escape \\ud800 to \\udfff)")
    return value


def context_of(record: Any, place: str, key: str = "context") -> str | tuple[int, ...]:
    """Return a record's context, a text or token ids.

    Raises:
        InputError: it is missing, of another kind, or has no token id.
    """
    context = text_or_ids(record, key, place)
    if context == ():
        raise InputError(f"{place}: {key!r} has no token id; it needs its end token at least")
    return context


def texts_or_ids(record: Any, key: str, place: str) -> list[str | tuple[int, ...]]:
    """Return each of the texts in `record[key]`, which may be one text or a list of them.

    A text may be given by its token ids; so a list of numbers is one text.

    Raises:
        InputError: it is missing or of another kind.
    """
    value = present(record, key, place)
    if isinstance(value, list) and value and isinstance(value[0], str | list):
        numbered = {f"{key}[{number}]": item for number, item in enumerate(value)}
        return [text_or_ids(numbered, name, place) for name in numbered]
    return [text_or_ids(record, key, place)]


def text_or_ids(record: Any, key: str, place: str) -> str | tuple[int, ...]:
    """Return `record[key]`, which must be a text or a list of token ids.

    Raises:
        InputError: it is missing or of another kind.
    """
    value = present(record, key, place)
    if isinstance(value, list):
        ids = tuple(expect(id, int, f"{place}: token id in {key!r}") for id in value)
        if any(id < 0 for id in ids):
            raise InputError(f"{place}: {key!r} has the negative token id {min(ids)}")
        return ids
    if not isinstance(value, str):
        raise InputError(f"{place}: {key!r} must be a text or a list of token ids, found {value!r}")
    return expect(value, str, f"{place}: {key!r}")


def text_if_any(record: dict[str, Any], key: str, place: str) -> str:
    """Return `record[key]`, empty where it is missing or null.

    Raises:
        InputError: it is of another kind.
    """
    return "" if record.get(key) is None else field(record, key, str, place)


def require_rows(rows: Rows, path: Path) -> Rows:
    """Return `rows`, which must not be empty.

    Raises:
        InputError: the file gave no row.
    """
    if not rows:
        raise InputError(f"{path}: empty dataset, no row with a text")
    return rows


def _shown(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=True)
    except RecursionError:
        return "deeply nested values"
    return text if len(text) <= 80 else text[:77] + "..."
