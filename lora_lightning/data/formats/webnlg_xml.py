"""WebNLG's own files: XML, in 2017 and since 2020, a file or many a split."""

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from lora_lightning.data.formats.webnlg_entry import Entry, linearised
from lora_lightning.errors import InputError
from lora_lightning.files import read_bytes

SPLITS = {"train": ("train",), "valid": ("dev", "valid", "validation"), "test": ("test",)}
NOT_FOR_GENERATION = ("semantic-parsing", "without-refs", "no_lex", "no-lex", "unseen")
"""Parts of names of files that stand beside a test set: the other task's, and its inputs alone."""


def find_xml(folder: Path, split: str) -> Path | None:
    """Return the folder, or the one XML file, whose name begins as the split's does.

    Raises:
        InputError: there are several.
    """
    named = [path for path in (sorted(folder.iterdir()) if folder.is_dir() else ())
             if path.name.lower().startswith(SPLITS[split])]  # fmt: skip
    found = [path for path in named if xml_files(path)]
    if len(found) > 1:
        raise InputError(
            f"{folder}: {' and '.join(path.name for path in found)} may both hold the XML of "
            f"split={split}; leave one there"
        )
    return found[0] if found else None


def xml_files(path: Path) -> list[Path]:
    """Return the XML files of texts and triples in a folder, at any depth, or the file itself."""
    return sorted(
        file
        for file in (path.rglob("*") if path.is_dir() else (path,))
        if file.name.lower().removesuffix(".gz").endswith(".xml")
        and not any(part in file.name.lower() for part in NOT_FOR_GENERATION)
    )


def read_xml(path: Path) -> list[Entry]:
    """Read a file of the benchmark, plain or `.gz`: each text of each entry.

    The enriched versions keep a text's own words beside its template; those count.

    Raises:
        InputError: it cannot be read, is no XML, or has another schema; the message names the
            entry, counted from 1.
    """
    try:
        root = ElementTree.fromstring(read_bytes(path))
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise InputError(f"{path}: no XML ({error})") from None
    if root.tag != "benchmark" or root.find("entries") is None:
        raise InputError(
            f"{path}: not WebNLG's XML: it begins with <{root.tag}>, not <benchmark><entries>"
        )
    numbered = enumerate(root.iterfind("entries/entry"), start=1)
    return [
        entry
        for number, element in numbered
        for entry in _entries(element, f"{path}: entry {number}")
    ]


def _entries(element: ElementTree.Element, place: str) -> Iterator[Entry]:
    category = element.get("category")
    if category is None:
        raise InputError(f"{place}: <entry> has no category")
    triples = [_triple(triple.text or "", place) for triple in
               element.iterfind("modifiedtripleset/mtriple")]  # fmt: skip
    if not triples:
        raise InputError(f"{place}: no <modifiedtripleset> with an <mtriple>")
    context = linearised(triples)
    for text in element.iterfind("lex"):
        words = text.find("text")
        yield Entry(
            context,
            category,
            element.get("shape", ""),
            (text if words is None else words).text or "",
            text.get("lang", ""),
            text.get("comment", ""),
        )


def _triple(text: str, place: str) -> list[str]:
    parts = [part.strip() for part in text.split(" | ")]
    if len(parts) != 3:
        raise InputError(f"{place}: <mtriple> needs subject | property | object: {text[:80]!r}")
    return parts
