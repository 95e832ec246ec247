"""Several objectives: the jobs that no other beats in one of them without losing in another."""

from typing import Any

from lora_lightning.config.study import direction_of
from lora_lightning.sweep.record import Plan

Row = dict[str, Any]


def values_of(row: Row, metrics: list[str]) -> list[float] | None:
    """Return a row's objectives, each the better the less there is of it; None where one lacks."""
    values = []
    for metric in metrics:
        value = row.get(metric)
        value = value[0] if isinstance(value, tuple) else value
        if value is None or row.get("status") == "pruned":
            return None
        values.append(value if direction_of(metric) == "minimize" else -value)
    return values


def on_front(rows: list[Row], metrics: list[str]) -> list[bool]:
    """Return which rows lie on the Pareto front."""
    found = [values_of(row, metrics) for row in rows]
    known = [values for values in found if values is not None]
    return [own is not None and not any(_beats(other, own) for other in known) for own in found]


def front_first(plan: Plan, rows: list[Row]) -> list[Row]:
    """Return the rows of the front by the first objective, then the others likewise."""
    is_on = on_front(rows, plan.metrics)
    places = [
        (not on, values is None, values or [])
        for on, values in zip(is_on, (values_of(row, plan.metrics) for row in rows), strict=True)
    ]
    return [rows[place] for place in sorted(range(len(rows)), key=places.__getitem__)]


def _beats(other: list[float], own: list[float]) -> bool:
    pairs = list(zip(other, own, strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)
