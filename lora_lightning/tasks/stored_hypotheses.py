"""The hypotheses of predictions on disk, and the search that found them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora_lightning.decoding.writer import Record, read_predictions
from lora_lightning.errors import InputError
from lora_lightning.files import read_json_object, require_kind

DECODE_AGAIN = "decode with generate.py"


@dataclass(frozen=True)
class StoredHypothesis:
    """What is needed of a hypothesis in predictions.jsonl."""

    tokens: list[int]
    text: str
    log_probability: float | None
    length: int


@dataclass(frozen=True)
class SearchOf:
    """How predictions were decoded.

    Attributes:
        length_penalty: the search's own.
        num_beams: its beams; of drawn texts, how many were drawn.
        temperature: of drawn texts; None of a search.
    """

    length_penalty: float
    num_beams: int
    temperature: float | None = None


def read_search(folder: Path) -> tuple[dict[str, Any], SearchOf]:
    """Return the manifest of predictions, and how they were decoded.

    Raises:
        InputError: there is none, or it does not say so.
    """
    path = folder / "manifest.json"
    manifest = read_json_object(path)
    settings = manifest.get("settings")
    generation = settings.get("generation") if isinstance(settings, dict) else None
    return manifest, require_kind(
        generation, SearchOf, f"{path}: settings.generation", DECODE_AGAIN
    )


def read_hypotheses(path: Path) -> tuple[list[Record], list[list[StoredHypothesis]]]:
    """Return the records of a predictions.jsonl, and the hypotheses of each.

    Raises:
        InputError: there is no record, or one has no hypotheses, or other ones than generate.py
            writes.
    """
    records = read_predictions(path)
    if not records:
        raise InputError(f"{path}: holds no prediction; {DECODE_AGAIN}")
    return records, [_hypotheses(record, path) for record in records]


def _hypotheses(record: Record, path: Path) -> list[StoredHypothesis]:
    place = f"{path}: id {record['id']!r}: hypotheses"
    stored = record.get("hypotheses")
    found = require_kind(stored, list[StoredHypothesis], place, DECODE_AGAIN)
    if not found:
        raise InputError(f"{place}: there is none; {DECODE_AGAIN}")
    return found
