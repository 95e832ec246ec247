"""Own data as JSON: an object a line, or one list of objects."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lora_lightning.data.example import Example
from lora_lightning.data.own_files import OwnFilesDataModule, names_in
from lora_lightning.data.records import (
    context_of,
    field,
    read_records,
    require_rows,
    texts_or_ids,
)
from lora_lightning.ranges import Text, ranged

FIELDS = {part: part for part in ("context", "completion", "category", "cate", "id")}


def read_jsonl(path: Path, fields: Mapping[str, str] = FIELDS) -> list[Example]:
    """Read JSON lines, or one JSON list, of objects with a context and a completion each.

    Either is a text or token ids, which are taken as they stand, end tokens included. A list of
    completions gives a row each. Optional are a category (a text) and `cate` (true = training holds
    the category), the reference's name for it.

    Args:
        path: the file, plain or `.gz`.
        fields: what each part is called in the objects.

    Raises:
        InputError: the file is missing, empty or not UTF-8, a record is no JSON, lacks a key or has
            a value of another kind; the message names the line or the entry.
    """
    rows = [row for place, record in read_records(path) for row in _rows(record, place, fields)]
    return require_rows(rows, path)


def _rows(record: Any, place: str, fields: Mapping[str, str]) -> list[Example]:
    context = context_of(record, place, fields["context"])
    completions = texts_or_ids(record, fields["completion"], place)
    category = _optional(record, fields["category"], str, place)
    seen = _optional(record, fields["cate"], bool, place)
    return [Example(context, completion, category, seen) for completion in completions]


def _optional(record: dict[str, Any], key: str, kind: type[Any], place: str) -> Any:
    return None if record.get(key) is None else field(record, key, kind, place)


@ranged("data")
class JsonlDataModule(OwnFilesDataModule):
    """Own data as JSON lines, or a JSON list, one file a split.

    Args:
        fields: what context, completion, category, cate and id are called in the objects; a part
            that is not named has its own name.
        **shared: as `OwnFilesDataModule`.
    """

    kind = "a file of JSON lines"

    def __init__(self, *, fields: Mapping[str, Text] = FIELDS, **shared: Any) -> None:
        super().__init__(**shared)
        self.fields = names_in(fields, FIELDS, "data.fields")

    @property
    def reading(self) -> dict[str, str]:
        """What decides the rows beside the file: the names of the fields."""
        return self.fields

    def read(self, path: Path) -> list[Example]:
        """Return the rows of a file."""
        return read_jsonl(path, self.fields)
