"""DART v1.1.1: entries of triples, each with several texts."""

from pathlib import Path
from typing import Any

from lora_lightning.data.example import Example
from lora_lightning.data.raw_folder import RawFolderDataModule
from lora_lightning.data.records import expect, field, require_rows, text_if_any
from lora_lightning.data.sources import RawFile, find
from lora_lightning.errors import InputError
from lora_lightning.files import read_json
from lora_lightning.ranges import ranged

PARTIAL_TRAIN = "dart-v1.1.1-partial-train.json"
FILES = {
    "train": RawFile("dart-v1.1.1-full-train.json", "66d6ce4aeb5d01c318c7fc15d7747ef39ea320be"),
    "valid": RawFile(
        "dart-v1.1.1-full-dev.json",
        "5038f3543b6d59b94ac4e3f69d15a0b01d8578913f862142e7c560200dd6e434",
    ),
    "test": RawFile(
        "dart-v1.1.1-full-test.json",
        "c772553b482dd5fc7b8ad90d68889062a2603e28d4449ee1f162006819e0565e",
    ),
}


def read_dart(path: Path) -> list[Example]:
    """Read a raw DART file, plain or `.gz`: one row per annotation, empty texts included.

    The context is `subject : relation : object` with the relation in lower case, joined by ` | `;
    the category is the text's source, where it is named.

    Raises:
        InputError: the file is missing, no UTF-8 JSON, lacks a key, has a value of another kind,
            or gives no row; the message names the entry, counted from 1.
    """
    entries = enumerate(expect(read_json(path), list, str(path)), start=1)
    rows = [row for number, entry in entries for row in _rows(entry, f"{path}: entry {number}")]
    return require_rows(rows, path)


def _rows(entry: Any, place: str) -> list[Example]:
    triples = field(entry, "tripleset", list, place)
    context = " | ".join(_triple(triple, place) for triple in triples)
    annotations = field(entry, "annotations", list, place)
    return [_row(context, text, place) for text in annotations]


def _row(context: str, annotation: Any, place: str) -> Example:
    text = field(annotation, "text", str, place)
    return Example(context, text, text_if_any(annotation, "source", place) or None)


def _triple(triple: Any, place: str) -> str:
    parts = expect(triple, list, f"{place}: triple")
    if len(parts) != 3:
        raise InputError(f"{place}: a triple has three parts, found {len(parts)}")
    subject, relation, object_ = (expect(part, str, f"{place}: part of a triple") for part in parts)
    return f"{subject} : {relation.lower()} : {object_}"


@ranged("data")
class DARTDataModule(RawFolderDataModule):
    """DART v1.1.1: `dart-v1.1.1-full-{train,dev,test}.json`.

    Args:
        allow_partial: train on `dart-v1.1.1-partial-train.json` where the full file is missing;
            numbers are then not comparable with published ones.
        **shared: as `RawFolderDataModule`.
    """

    files = FILES
    read = staticmethod(read_dart)

    def __init__(self, *, allow_partial: bool = False, **shared: Any) -> None:
        super().__init__(**shared)
        self.allow_partial = allow_partial

    def path(self, split: str) -> Path:
        """Return the path of a split's file, the partial training file where that is allowed.

        Raises:
            InputError: as `RawFolderDataModule.path`, or only the partial file is there.
        """
        partial = find(self.dir, PARTIAL_TRAIN) if split == "train" else None
        if partial is None or find(self.dir, FILES[split].name) is not None:
            return super().path(split)
        if self.allow_partial:
            return partial
        if self.source is not None:
            return super().path(split)
        raise InputError(
            f"{partial}: holds a part of {FILES[split].name} only;"
            " set data.allow_partial=true to train on it"
        )
