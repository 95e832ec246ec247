"""Own data as JSON lines."""

from pathlib import Path
from typing import Any

from lora_lightning.data.datamodule import DataToTextModule
from lora_lightning.data.example import Example
from lora_lightning.data.records import (
    context_of,
    field,
    parse_json_lines,
    require_rows,
    text_or_ids,
)
from lora_lightning.errors import InputError
from lora_lightning.files import read_lines
from lora_lightning.ranges import Text, ranged


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


def _example(record: Any, place: str) -> Example:
    return Example(
        context=context_of(record, place),
        completion=text_or_ids(record, "completion", place),
        category=_optional(record, "category", str, place),
        seen=_optional(record, "cate", bool, place),
    )


def _optional(record: dict[str, Any], key: str, kind: type[Any], place: str) -> Any:
    return None if record.get(key) is None else field(record, key, kind, place)


@ranged("data")
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
        train: Text | Path | None = None,
        valid: Text | Path | None = None,
        test: Text | Path | None = None,
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
