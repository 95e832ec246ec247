"""result.json: what a sweeper gets of a run, or why there is nothing to get."""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lora_lightning.files import atomic_text
from lora_lightning.training.finite import NotFiniteError


@contextmanager
def failure_recorded(folder: Path, metric: str, writes: bool) -> Iterator[None]:
    """Context in which a run that comes to no numbers leaves a result.json that says why.

    Args:
        folder: of the run.
        metric: that a sweeper asks for.
        writes: whether this process does.
    """
    try:
        yield
    except NotFiniteError as error:
        if writes:
            write_result(folder, metric, None, str(error))
        raise


def require_finite_objective(metric: str, value: float | None) -> None:
    """Check what a sweeper gets.

    Raises:
        NotFiniteError: it is no number.
    """
    if value is not None and not math.isfinite(value):
        raise NotFiniteError(
            f"optimized_metric={metric} is {value}; lower optimizer.lr, or optimize val/loss"
        )


def write_result(folder: Path, metric: str, value: float | None, reason: str | None = None) -> None:
    """Write result.json; where the metric has no value, and it is known why, with the reason."""
    result = {"metric": metric, "value": value} | ({"reason": reason} if reason else {})
    with atomic_text(folder / "result.json") as file:
        json.dump(result, file)
