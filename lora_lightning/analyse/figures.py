"""Figures of an analysis, one a file."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lora_lightning.analyse.record import SliceRecord
from lora_lightning.analyse.truncation import Point
from lora_lightning.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_GRIDS = 12  # that still can be read in one figure


def draw(
    records: Sequence[SliceRecord], points: Sequence[Point], folder: Path, beside: str | None
) -> list[Path]:
    """Draw what there is into `folder`, and return the PNG files.

    Args:
        records: of every adapted slice.
        points: of the truncation curve; may be empty.
        folder: of the figures.
        beside: name of the other run, where there is one.
    """
    figures = {
        "singular_values.png": singular_values(records),
        "amplification.png": amplification_by_layer(records),
    }
    if points:
        figures["truncation.png"] = truncation(points)
    if beside is not None:
        figures["similarity.png"] = similarity(records, beside)
    for name, figure in figures.items():
        with atomic_path(folder / name) as temporary:
            figure.savefig(temporary, dpi=130, format="png")
    return [folder / name for name in figures]


def singular_values(records: Sequence[SliceRecord]) -> "Figure":
    """Return the singular values of each slice of every layer, darker in deeper layers."""
    kinds = _kinds(records)
    figure, axes = _panels(len(kinds), "singular value")
    for (kind, members), axis in zip(kinds.items(), axes, strict=False):
        for number, record in enumerate(members):
            shade = 0.25 + 0.75 * (number + 1) / len(members)
            ranks = range(1, len(record.singular_values) + 1)
            axis.plot(ranks, record.singular_values, ".-", color="C0", alpha=shade)
        axis.set_title(kind, fontsize="small")
        axis.set_xlabel("direction (darker: deeper layer)", fontsize="small")
        axis.set_yscale("log")
    return figure


def amplification_by_layer(records: Sequence[SliceRecord]) -> "Figure":
    """Return how much each layer's update amplifies its directions, a line a kind of slice."""
    figure, [axes] = _panels(1, "amplification  ‖ΔW‖ / ‖Uᵀ W V‖")
    for kind, members in _kinds(records).items():
        axes.plot(range(len(members)), [m.amplification.factor for m in members], ".-", label=kind)
    axes.set_xlabel("layer")
    axes.set_yscale("log")
    axes.legend(fontsize="small")
    return figure


def truncation(points: Sequence[Point]) -> "Figure":
    """Return the loss of the adapter cut to each rank."""
    figure, [axes] = _panels(1, "loss per token, nats")
    axes.plot([p.rank for p in points], [p.loss_per_token for p in points], "o-")
    axes.set_xlabel("rank that is kept (0: no product B A)")
    return figure


def similarity(records: Sequence[SliceRecord], beside: str) -> "Figure":
    """Return the subspace similarity of two runs, a grid a slice."""
    from matplotlib.ticker import MaxNLocator

    shown = [record for record in records if record.similarity is not None][:MOST_GRIDS]
    figure, axes = _panels(len(shown), "directions of this run")
    for record, axis in zip(shown, axes, strict=False):
        grid = record.similarity
        assert grid is not None
        edges = (0.5, len(grid[0]) + 0.5, 0.5, len(grid) + 0.5)
        image = axis.imshow(grid, vmin=0, vmax=1, origin="lower", aspect="auto", extent=edges)
        axis.set_title(record.name.removeprefix("transformer."), fontsize="small")
        axis.grid(visible=False)
        axis.set_xlabel(f"directions of {beside}", fontsize="small")
        axis.yaxis.set_major_locator(MaxNLocator(integer=True))
    figure.colorbar(image, ax=axes, label="similarity  φ(i, j)")
    return figure


def _kinds(records: Sequence[SliceRecord]) -> dict[str, list[SliceRecord]]:
    kinds: dict[str, list[SliceRecord]] = {}
    for record in records:
        kinds.setdefault(record.kind, []).append(record)
    return kinds


def _panels(count: int, label: str) -> tuple["Figure", Sequence["Axes"]]:
    from matplotlib.figure import Figure  # without pyplot, which takes as long again to import
    from matplotlib.ticker import MaxNLocator

    columns = min(count, 4)
    rows = -(-count // columns)
    figure = Figure(figsize=(max(6, 3.2 * columns), 3.6 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).flatten().tolist()
    for axis in axes[count:]:
        axis.set_visible(False)
    for axis in axes[:count]:
        axis.set_ylabel(label, fontsize="small")
        axis.grid(alpha=0.3)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure, axes
