"""What a run's JSON files tell: scores, sizes, the value for a sweeper, ids of loggers."""

from dataclasses import dataclass
from pathlib import Path

from lora_lightning.files import read_json, require_kind


@dataclass(frozen=True)
class Scores:
    """Of a metrics.json: metric → score, None where it could not be computed, and why not."""

    scores: dict[str, float | None]
    not_computed: dict[str, str]


@dataclass(frozen=True)
class Parameters:
    """How many parameters a run had."""

    trainable: int
    total: int


@dataclass(frozen=True)
class Record:
    """Of a run.json."""

    parameters: Parameters


@dataclass(frozen=True)
class Result:
    """Of a result.json."""

    value: float | None


def read_scores(path: Path) -> Scores:
    """Return a metrics.json.

    Raises:
        InputError: it is damaged.
    """
    return require_kind(read_json(path), Scores, path, "run evaluate.py again")


def read_trainable(path: Path) -> int:
    """Return the number of trainable parameters in a run.json.

    Raises:
        InputError: it is damaged.
    """
    record = require_kind(read_json(path), Record, path, "put it back, or remove it")
    return record.parameters.trainable


def read_value(path: Path) -> float | None:
    """Return the value for a sweeper in a result.json.

    Raises:
        InputError: it is damaged.
    """
    return require_kind(read_json(path), Result, path, "remove the job's folder").value


def read_logger_ids(path: Path) -> dict[str, str]:
    """Return logger → id of the run in it; none where there is no such file.

    Raises:
        InputError: it is damaged.
    """
    if not path.is_file():
        return {}
    mend = "remove it, to begin a new run of the logger"
    return require_kind(read_json(path), dict[str, str], path, mend)
