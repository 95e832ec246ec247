"""A sweep's figures: the objective over each swept key, scores over trainable parameters.

No figure repeats another: the objective is drawn over trainable parameters only where no swept key
stands for their number, and what follows from `val/loss` (perplexities, the loss per token) not at
all.
"""

from collections.abc import Iterable
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

from lora_lightning.config.commands import TRAINABLE
from lora_lightning.files import atomic_path, folder_name
from lora_lightning.sweep.front import on_front
from lora_lightning.sweep.published import LABEL, RANK, is_the_papers, kinds_of, paper_curve
from lora_lightning.sweep.record import Plan
from lora_lightning.sweep.table import Row, score_columns

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Points = list[tuple[Any, float]]
SIZE = "trainable_parameters"
MOST_TICKS = 16  # labels that have room below a figure
WIDE_RANGE = 8  # largest over smallest value from which an axis is logarithmic


def draw_figures(plan: Plan, rows: list[Row], folder: Path) -> list[Path]:
    """Draw every figure that the finished jobs give into `folder`, and return the PNG files."""
    rows = [row for row in rows if row["status"] == "finished"]
    beside_paper = is_the_papers([*kinds_of(plan, rows).values()])
    files = []
    for axis in plan.axes:
        if points := points_of(rows, axis, "objective"):
            files.append(folder / f"objective_over_{folder_name(axis)}.png")
            reference = paper_curve(plan.objective or "") if beside_paper and axis == RANK else []
            draw(points, axis, plan.objective or "objective", reference, files[-1])
    if len(plan.metrics) > 1 and any(on_front(rows, plan.metrics)):
        files.append(folder / "pareto_front.png")
        with atomic_path(files[-1]) as temporary:
            front_figure(plan, rows).savefig(temporary, dpi=120, format="png")
    axis = size_axis(plan, rows)
    for score in drawn_scores(plan, rows):
        if points := points_of(rows, axis, score):
            name = "parameters" if axis == SIZE else folder_name(axis)
            files.append(folder / f"{folder_name(score)}_over_{name}.png")
            is_beside = beside_paper and axis == SIZE
            reference = paper_curve(score, over_parameters=True) if is_beside else []
            draw(points, axis.replace("_", " "), score, reference, files[-1])
    return files


def front_figure(plan: Plan, rows: list[Row]) -> "Figure":
    """Return the figure of the first two objectives, the jobs on the front joined by a line."""
    from matplotlib.figure import Figure

    x, y = plan.metrics[:2]
    canvas = Figure(figsize=(6, 4), layout="constrained")
    axes = canvas.subplots()
    axes.plot(*_columns(rows, x, y), "o", alpha=0.4, markersize=4, label="jobs")
    best = [row for row, on in zip(rows, on_front(rows, plan.metrics), strict=True) if on]
    axes.plot(*_columns(best, x, y), "o-", color="C1", label="no other is better in all")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3)
    axes.legend()
    return canvas


def _columns(rows: list[Row], x: str, y: str) -> tuple[list[float], list[float]]:
    points = sorted(points_of(rows, x, y))
    return [a for a, _ in points], [b for _, b in points]


def points_of(rows: list[Row], x: str, y: str) -> Points:
    """Return the rows' values of two columns, where both are known."""
    found = [(row.get(x), row.get(y)) for row in rows]
    return [(a, b) for a, b in found if a is not None and b is not None]


def size_axis(plan: Plan, rows: list[Row]) -> str:
    """Return what scores are drawn over: trainable parameters, or a swept key where these stay."""
    others = [axis for axis in plan.axes if axis != "seed"]
    is_one_size = len({row.get(SIZE) for row in rows}) < 2
    return others[0] if others and is_one_size else SIZE


def drawn_scores(plan: Plan, rows: list[Row]) -> list[str]:
    """Return the scores that have a figure of their own."""
    scores = [
        name for name in score_columns(plan, rows) if not name.startswith(("val/", TRAINABLE))
    ]
    if "val/loss" in score_columns(plan, rows):
        scores = ["val/loss", *scores]
    is_drawn_already = any(_stands_for(rows, axis, size_axis(plan, rows)) for axis in plan.axes)
    return [name for name in scores if name != plan.objective or not is_drawn_already]


def draw(points: Points, x_label: str, y_label: str, reference: Points, file: Path) -> None:
    """Draw every job as a point, and mean ± std of each x, beside a reference line."""
    with atomic_path(file) as temporary:
        figure(points, x_label, y_label, reference).savefig(temporary, dpi=120, format="png")


def figure(points: Points, x_label: str, y_label: str, reference: Points) -> "Figure":
    """Return the figure of every job as a point, and mean ± std of each x, with a reference line.

    Between seeds, and between names, there is no line: nothing lies between them.
    """
    from matplotlib.figure import Figure  # without pyplot, which takes as long again to import
    from matplotlib.ticker import NullFormatter, NullLocator

    canvas = Figure(figsize=(6, 4), layout="constrained")
    axes = canvas.subplots()
    numbers = [] if x_label == "seed" else as_numbers(x for x, _ in points)
    names = list(dict.fromkeys(str(x) for x, _ in points))
    place_of = {name: place for place, name in enumerate(names)}
    places = numbers or [place_of[str(x)] for x, _ in points]
    scores = [y for _, y in points]
    groups: dict[float, list[float]] = {}
    for place, score in sorted(zip(places, scores, strict=True)):
        groups.setdefault(place, []).append(score)
    axes.plot(places, scores, "o", alpha=0.4, markersize=4, label="jobs")
    if max(map(len, groups.values())) > 1 and x_label != "seed":
        spread = [stdev(group) if len(group) > 1 else 0.0 for group in groups.values()]
        line = "o-" if numbers else "o"
        axes.errorbar([*groups], [mean(g) for g in groups.values()], spread, fmt=line, capsize=3,
                      color="C1", label="mean ± std")  # fmt: skip
    elif numbers:
        axes.plot([*groups], [values[0] for values in groups.values()], "-", color="C0")
    if reference and numbers:
        axes.plot(*zip(*reference, strict=True), ".--", color="0.5", label=LABEL)
        numbers = [*numbers, *(x for x, _ in reference)]
    if not numbers:
        every = -(-len(names) // MOST_TICKS)
        labels = names[::every]
        axes.set_xticks(
            range(0, len(names), every), labels, rotation=0 if x_label == "seed" else 20
        )
    elif min(numbers) > 0 and max(numbers) >= WIDE_RANGE * min(numbers):
        axes.set_xscale("log", base=2 if x_label == RANK else 10)
    ranks = sorted(set(numbers))
    if x_label == RANK and 0 < len(ranks) <= MOST_TICKS:
        axes.set_xticks(ranks, [f"{rank:g}" for rank in ranks])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(alpha=0.3)
    axes.legend()
    return canvas


def as_numbers(values: Iterable[Any]) -> list[float]:
    """Return the values as numbers; empty where one is none."""
    try:
        return [float(value) for value in values]
    except ValueError:
        return []


def _stands_for(rows: list[Row], axis: str, other: str) -> bool:
    """Whether each value of one column goes with exactly one of another."""
    pairs = {(row.get(axis), row.get(other)) for row in rows}
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
