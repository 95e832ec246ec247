"""What a run's JSON files tell: scores, sizes, the value for a sweeper, ids of loggers."""

from dataclasses import dataclass, field
from pathlib import Path

from lora_lightning.files import read_json, require_kind


@dataclass(frozen=True)
class Scores:
    """Of a metrics.json: metric → score, None where it could not be computed, and why not.

    `partial` says what was left out, where only a part of the split was scored; older ones do not
    name their protocol.
    """

    scores: dict[str, float | None]
    not_computed: dict[str, str]
    partial: str | None = None
    signatures: dict[str, str] = field(default_factory=dict)
    protocol: str | None = None


@dataclass(frozen=True)
class Parameters:
    """How many parameters a run had."""

    trainable: int
    total: int


@dataclass(frozen=True)
class Speed:
    """Median speed of a run; None where it was too short."""

    tokens_per_second: float | None = None


@dataclass(frozen=True)
class Record:
    """Of a run.json; older ones lack some of it."""

    parameters: Parameters
    updates: int | None = None
    seconds: float | None = None
    throughput: Speed = field(default_factory=Speed)


Objective = float | list[float] | None
"""What a sweeper gets of a run: a value, one for each objective, or nothing."""


@dataclass(frozen=True)
class Result:
    """Of a result.json; `pruned_after` is the update after which a sweep's pruner ended the run."""

    value: Objective
    pruned_after: int | None = None


def read_scores(path: Path) -> Scores:
    """Return a metrics.json.

    Raises:
        InputError: it is damaged.
    """
    return require_kind(read_json(path), Scores, path, "run evaluate.py again")


def read_record(path: Path) -> Record:
    """Return a run.json.

    Raises:
        InputError: it is damaged.
    """
    return require_kind(read_json(path), Record, path, "put it back, or remove it")


def read_result(path: Path) -> Result:
    """Return what a result.json says.

    Raises:
        InputError: it is damaged.
    """
    return require_kind(read_json(path), Result, path, "remove the job's folder")


def read_logger_ids(path: Path) -> dict[str, str]:
    """Return logger → id of the run in it; none where there is no such file.

    Raises:
        InputError: it is damaged.
    """
    if not path.is_file():
        return {}
    mend = "remove it, to begin a new run of the logger"
    return require_kind(read_json(path), dict[str, str], path, mend)
