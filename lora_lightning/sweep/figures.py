"""A sweep's figures: objective over each swept axis, each score over trainable parameters."""

from collections.abc import Iterable
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from lora_lightning.files import atomic_path, folder_name
from lora_lightning.sweep.paper import LABEL, paper_curve
from lora_lightning.sweep.record import Plan
from lora_lightning.sweep.table import Row, score_columns

Points = list[tuple[Any, float]]


def draw_figures(plan: Plan, rows: list[Row], folder: Path) -> list[Path]:
    """Draw every figure that the finished jobs give into `folder`, and return the PNG files."""
    rows = [row for row in rows if row["status"] == "finished"]
    is_e2e = not any(name.endswith("/ter") for name in score_columns(plan, rows))
    files = []
    for axis in plan.axes:
        points = [(row[axis], row["objective"]) for row in rows]
        if points := [(x, y) for x, y in points if x is not None and y is not None]:
            files.append(folder / f"objective_over_{folder_name(axis)}.png")
            reference = paper_curve(plan.metric or "") if is_e2e and axis == "method.rank" else []
            draw(points, axis, plan.metric or "objective", reference, files[-1])
    for score in score_columns(plan, rows):
        found = [(row.get("trainable_parameters"), row.get(score)) for row in rows]
        if pairs := [(x, y) for x, y in found if x is not None and y is not None]:
            files.append(folder / f"{folder_name(score)}_over_parameters.png")
            reference = paper_curve(score, over_parameters=True) if is_e2e else []
            draw(pairs, "trainable parameters", score, reference, files[-1])
    return files


def draw(points: Points, x_label: str, y_label: str, reference: Points, file: Path) -> None:
    """Draw every job as a point, and mean ± std of each x, beside a reference line."""
    from matplotlib.figure import Figure  # without pyplot, which takes as long again to import

    canvas = Figure(figsize=(6, 4), layout="constrained")
    axes = canvas.subplots()
    numbers = as_numbers(x for x, _ in points)
    names = list(dict.fromkeys(str(x) for x, _ in points))
    places = numbers or [names.index(str(x)) for x, _ in points]
    scores = [y for _, y in points]
    axes.plot(places, scores, "o", alpha=0.4, markersize=4, label="jobs")
    groups: dict[float, list[float]] = {}
    for place, score in sorted(zip(places, scores, strict=True)):
        groups.setdefault(place, []).append(score)
    spread = [stdev(group) if len(group) > 1 else 0.0 for group in groups.values()]
    line = "o-" if numbers else "o"
    axes.errorbar([*groups], [mean(g) for g in groups.values()], spread, fmt=line, capsize=3,
                  color="C1", label="mean ± std")  # fmt: skip
    if reference and numbers:
        axes.plot(*zip(*reference, strict=True), ".--", color="0.5", label=LABEL)
        numbers = [*numbers, *(x for x, _ in reference)]
    if not numbers:
        axes.set_xticks(range(len(names)), names, rotation=20)
    elif min(numbers) > 0 and max(numbers) >= 8 * min(numbers):
        axes.set_xscale("log", base=2 if x_label == "method.rank" else 10)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(alpha=0.3)
    axes.legend()
    with atomic_path(file) as temporary:
        canvas.savefig(temporary, dpi=120, format="png")


def as_numbers(values: Iterable[Any]) -> list[float]:
    """Return the values as numbers; empty where one is none."""
    try:
        return [float(value) for value in values]
    except ValueError:
        return []
