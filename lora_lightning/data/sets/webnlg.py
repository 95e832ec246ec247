"""WebNLG, the challenge of 2017 and later releases: entries of triples with several texts each."""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lora_lightning.data.example import Example
from lora_lightning.data.formats.webnlg_entry import Entry, linearised
from lora_lightning.data.formats.webnlg_xml import find_xml, read_xml, xml_files
from lora_lightning.data.raw_folder import RawFolderDataModule
from lora_lightning.data.records import expect, field, require_rows, text_if_any
from lora_lightning.data.sources import RawFile, find
from lora_lightning.errors import InputError
from lora_lightning.files import read_json
from lora_lightning.ranges import Text, ranged

log = logging.getLogger(__name__)

# What training holds: in the challenge of 2017, and since release 2.0, which took the challenge's
# unseen categories into training; Company came with release 3.0.
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
LATER_SEEN_CATEGORIES = SEEN_CATEGORIES | {
    "Artist",
    "Athlete",
    "CelestialBody",
    "Company",
    "MeanOfTransportation",
    "Politician",
}
LATER_CATEGORIES = frozenset({"Company", "Film", "MusicalWork", "Scientist"})
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
GOOD = "good"  # the comment of a text that was checked and approved
ENGLISH = "en"  # the language of texts without a tag, which came with release 3.0
NO_SHAPE = ("", "NA")  # of the challenge's entries, which do not describe the tree of their triples


def read_webnlg(path: Path, language: str = ENGLISH) -> list[Example]:
    """Read a raw WebNLG file, JSON or XML, plain or `.gz`, or a folder of XML files.

    There is one row per text of a language that is `good`.

    Where no text of the language is `good`, those count that nobody commented on. How many texts
    are left out, and why, is said. The context is `subject : property : object` of the modified
    triples, joined by ` | `.

    Raises:
        InputError: a file is missing, neither UTF-8 JSON nor XML, lacks a key, has a value of
            another kind, or gives no row; the message names the entry, counted from 1.
    """
    files = xml_files(path)
    entries = [entry for file in files for entry in read_xml(file)] if files else _read_json(path)
    seen = LATER_SEEN_CATEGORIES if _is_later(entries) else SEEN_CATEGORIES
    kept = _kept(entries, language, path)
    return [
        Example(entry.context, entry.text, entry.category, entry.category in seen)
        for entry in require_rows(kept, path)
    ]


def _read_json(path: Path) -> list[Entry]:
    content = field(read_json(path), "entries", list, str(path))
    numbered = enumerate(content, start=1)
    return [entry for number, item in numbered for entry in _entries(item, number, path)]


def _entries(entry: Any, number: int, path: Path) -> list[Entry]:
    place = f"{path}: entry {number}"
    content = field(entry, str(number), dict, place)
    category = field(content, "category", str, place)
    triples = field(content, "modifiedtripleset", list, place)
    context = linearised(_triple(triple, place) for triple in triples)
    shape = text_if_any(content, "shape", place)
    return [
        Entry(
            context,
            category,
            shape,
            field(text, "lex", str, place),
            text_if_any(text, "lang", place),
            text_if_any(text, "comment", place),
        )
        for text in field(content, "lexicalisations", list, place)
    ]


def _triple(triple: Any, place: str) -> list[str]:
    expect(triple, dict, f"{place}: triple")
    return [field(triple, key, str, place) for key in ("subject", "property", "object")]


def _is_later(entries: Sequence[Entry]) -> bool:
    """Whether texts are of a release after the challenge of 2017.

    Its files have no tags of languages, describe no shapes, comment on every text, and lack some
    categories.
    """
    return bool(entries) and (
        any(entry.tag or entry.shape not in NO_SHAPE for entry in entries)
        or any(entry.category in LATER_CATEGORIES for entry in entries)
        or not any(entry.comment for entry in entries)
    )


def _kept(entries: Sequence[Entry], language: str, path: Path) -> list[Entry]:
    """Return the texts that count, and say how many do not.

    Raises:
        InputError: there are texts, but none counts.
    """
    wanted = language.casefold()
    spoken = [entry for entry in entries if (entry.tag or ENGLISH).casefold() == wanted]
    comment = GOOD if any(entry.comment == GOOD for entry in spoken) else ""
    kept = [entry for entry in spoken if entry.comment == comment]
    others = Counter((entry.tag or ENGLISH).casefold() for entry in entries)
    del others[wanted]
    reasons = [f"{count} in {tag}" for tag, count in sorted(others.items())]
    comments = Counter(entry.comment for entry in spoken if entry.comment != comment)
    reasons += [
        f"{count} with comment {found!r}" if found else f"{count} without comment"
        for found, count in sorted(comments.items())
    ]
    if reasons and not kept:
        raise InputError(
            f"{path}: empty dataset, no text counts under data.language={language} "
            f"({', '.join(reasons)})"
        )
    if reasons:
        left_out = len(entries) - len(kept)
        log.info("left out      %d of %d texts of %s: %s", left_out, len(entries), path,
                 ", ".join(reasons))  # fmt: skip
    return kept


@ranged("data")
class WebNLGDataModule(RawFolderDataModule):
    """WebNLG: `train.json`, `dev.json`, `test.json`, or where one is missing, the split's XML.

    That is one file, or a folder of them as the releases have it, in `dir` or in the folder there
    that is named as the language.

    Args:
        language: of the texts; texts without a tag are English.
        **shared: as `RawFolderDataModule`.
    """

    files = FILES

    def __init__(self, *, language: Text = ENGLISH, **shared: Any) -> None:
        super().__init__(**shared)
        self.language = language

    @property
    def reading(self) -> str:
        """What decides the rows beside the file: the language."""
        return self.language

    def read(self, path: Path) -> list[Example]:
        """Return the rows of a file in the language."""
        return read_webnlg(path, self.language)

    def path(self, split: str) -> Path:
        """Return the path of a split's file, or of its folder of XML files.

        Raises:
            InputError: as `RawFolderDataModule.path` and `find_xml`.
        """
        if find(self.dir, FILES[split].name) is None:
            for folder in (self.dir, self.dir / self.language):
                if (path := find_xml(folder, split)) is not None:
                    return path
        return super().path(split)

    def files_of(self, path: Path) -> list[Path]:
        """Return the files that a split's path stands for."""
        return xml_files(path) or [path]
