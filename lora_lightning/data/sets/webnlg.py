"""The WebNLG challenge data of 2017: entries of triples, each with several texts."""

from pathlib import Path
from typing import Any

from lora_lightning.data.example import Example
from lora_lightning.data.raw_folder import RawFolderDataModule
from lora_lightning.data.records import expect, field, require_rows
from lora_lightning.data.sources import RawFile
from lora_lightning.files import read_json

SEEN_CATEGORIES = frozenset(
    {
        "Airport",
        "Astronaut",
        "Building",
        "City",
        "ComicsCharacter",
        "Food",
        "Monument",
        "SportsTeam",
        "University",
        "WrittenWork",
    }
)
FILES = {
    "train": RawFile(
        "train.json", "180edb6011360608c8548d4551366a9d55f140cbf9bc9397fbf4d97f6a89c639"
    ),
    "valid": RawFile(
        "dev.json", "50f5a2c24d760bc84ba3e852707cd3b43b0cf2da035b425f87945a2440880488"
    ),
    "test": RawFile(
        "test.json", "2574896b23b5959d1a0cd4bb501ffbeff1a11790a9996c4cb8efed289149ff4f"
    ),
}


def read_webnlg(path: Path) -> list[Example]:
    """Read a raw WebNLG file, plain or `.gz`: one row per text whose comment is `good`.

    The context is `subject : property : object` of the modified triples, joined by ` | `.

    Raises:
        InputError: the file is missing, no UTF-8 JSON, lacks a key, has a value of another kind,
            or gives no row; the message names the entry, counted from 1 as its key is.
    """
    entries = field(read_json(path), "entries", list, str(path))
    numbered = enumerate(entries, start=1)
    rows = [row for number, entry in numbered for row in _rows(entry, number, path)]
    return require_rows(rows, path)


def _rows(entry: Any, number: int, path: Path) -> list[Example]:
    place = f"{path}: entry {number}"
    content = field(entry, str(number), dict, place)
    category = field(content, "category", str, place)
    triples = field(content, "modifiedtripleset", list, place)
    context = " | ".join(_triple(triple, place) for triple in triples)
    seen = category in SEEN_CATEGORIES
    return [
        Example(context, field(text, "lex", str, place), category, seen)
        for text in field(content, "lexicalisations", list, place)
        if field(text, "comment", str, place) == "good"
    ]


def _triple(triple: Any, place: str) -> str:
    expect(triple, dict, f"{place}: triple")
    return " : ".join(field(triple, key, str, place) for key in ("subject", "property", "object"))


class WebNLGDataModule(RawFolderDataModule):
    """WebNLG 2017: `train.json`, `dev.json`, `test.json`."""

    files = FILES
    read = staticmethod(read_webnlg)
