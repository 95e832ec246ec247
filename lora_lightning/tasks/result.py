"""result.json: what a sweeper gets of a run, or why there is nothing to get."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from lora_lightning.files import atomic_text
from lora_lightning.runs.stored_results import Objective
from lora_lightning.training.finite import NotFiniteError


@contextmanager
def failure_recorded(folder: Path, metric: str | Sequence[str], writes: bool) -> Iterator[None]:
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


def objective_of(scores: Mapping[str, float], metric: str | Sequence[str]) -> Objective:
    """Return what a sweeper gets: the metric's value, or a list where there are several.

    None where one has no value.
    """
    if isinstance(metric, str):
        return scores.get(metric)
    values = [scores[name] for name in metric if name in scores]
    return values if len(values) == len(metric) else None


def require_finite_objective(metric: str | Sequence[str], value: Objective) -> None:
    """Check what a sweeper gets.

    Raises:
        NotFiniteError: it is no number.
    """
    values = value if isinstance(value, list) else [] if value is None else [value]
    names = [metric] if isinstance(metric, str) else metric
    for name, number in zip(names, values, strict=False):
        if not math.isfinite(number):
            raise NotFiniteError(
                f"optimized_metric={name} is {number}; lower optimizer.lr, or optimize val/loss"
            )


def write_result(
    folder: Path,
    metric: str | Sequence[str],
    value: Objective,
    reason: str | None = None,
    pruned_after: int | None = None,
) -> None:
    """Write result.json.

    Args:
        folder: of the run.
        metric: that a sweeper asks for, or several.
        value: of it; None where there is none.
        reason: why there is none, where it is known.
        pruned_after: the update after which the sweep's pruner ended the run.
    """
    names = metric if isinstance(metric, str) else list(metric)
    result: dict[str, object] = {"metric": names, "value": value}
    result |= {"reason": reason} if reason else {}
    result |= {} if pruned_after is None else {"pruned_after": pruned_after}
    with atomic_text(folder / "result.json") as file:
        json.dump(result, file)
