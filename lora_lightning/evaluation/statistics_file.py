"""What each metric adds up over the sentences of an evaluation, kept beside its scores.

`statistics.json` is one JSON object with a checksum: under `metrics` each metric's rows of numbers,
in the order of `sentences.jsonl`, whose SHA-256 it names. Rows of other sentences count as none.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from lora_lightning.checksum import with_checksum, without_checksum
from lora_lightning.errors import InputError
from lora_lightning.files import atomic_text, read_bytes, read_json_object, require_kind

STATISTICS = "statistics.json"
SENTENCES = "sentences.jsonl"
_MEND = "remove it; it is made anew"

Rows = list[list[float]]


@dataclass(frozen=True)
class _Stored:
    sentences_sha256: str
    metrics: dict[str, Rows]


@runtime_checkable
class AddsUp(Protocol):
    """What a metric keeps of a segment, of which only some numbers are added up."""

    @property
    def numbers(self) -> Sequence[float]:
        """These."""


def numbers_of(statistic: Any) -> list[float]:
    """Return what a metric adds up of a segment as a flat list.

    Args:
        statistic: `AddsUp`, or else all of a number, of numbers, or of a dataclass.
    """
    # What there is most of comes first, as a protocol's turn takes a hundred times as long.
    if isinstance(statistic, int | float):
        return [statistic]
    if isinstance(statistic, AddsUp):
        return list(statistic.numbers)
    if is_dataclass(statistic):
        statistic = [getattr(statistic, field.name) for field in fields(statistic)]
    return [number for part in statistic for number in numbers_of(part)]


def write_statistics(folder: Path, metrics: Mapping[str, Rows]) -> None:
    """Write statistics.json beside the sentences.jsonl that it belongs to.

    Args:
        folder: of the evaluation.
        metrics: metric → a row of numbers a sentence.
    """
    record = {"sentences_sha256": _digest(folder), "metrics": dict(metrics)}
    with atomic_text(folder / STATISTICS) as file:
        file.write(json.dumps(with_checksum(record)) + "\n")


def read_statistics(folder: Path) -> dict[str, Rows]:
    """Return metric → a row of numbers a sentence; nothing where there are none of these sentences.

    Args:
        folder: of the evaluation, with sentences.jsonl.

    Raises:
        InputError: the file is damaged.
    """
    path = folder / STATISTICS
    if not path.is_file():
        return {}
    record = without_checksum(read_json_object(path))
    if record is None:
        raise InputError(f"{path}: damaged, its content does not fit its checksum; {_MEND}")
    stored = require_kind(record, _Stored, path, _MEND)
    return stored.metrics if stored.sentences_sha256 == _digest(folder) else {}


def _digest(folder: Path) -> str:
    return hashlib.sha256(read_bytes(folder / SENTENCES)).hexdigest()
