"""loss.png: training and validation loss over updates."""

from pathlib import Path
from typing import TYPE_CHECKING

from lora_lightning.files import atomic_path
from lora_lightning.tracking.csv_tables import UNSMOOTHED, Row, read_losses

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TRAINED, VALIDATION = "train/loss", "val/loss"
NOTE = "cross-entropy in nats a token; training: mean over an update's micro-batches, before it;\n"
NOTE += "validation: mean over the batches of the validation set, never smoothed"


def best_validation(rows: list[Row]) -> Row | None:
    """Return the row of the lowest `val/loss`, the first of equals; None without a validation."""
    validations = [row for row in rows if VALIDATION in row]
    return min(validations, key=lambda row: row[VALIDATION], default=None)


def unsmoothed(row: Row) -> float:
    """Return the training loss of a row without label smoothing; older runs have what they have."""
    return row.get(UNSMOOTHED, row[TRAINED])


def draw_losses(folder: Path) -> None:
    """Draw the losses of the run in `folder` into its loss.png."""
    name = f"{folder.parent.name}/{folder.name}"
    with atomic_path(folder / "loss.png") as temporary:
        losses_figure(read_losses(folder), name).savefig(temporary, dpi=150, format="png")


def losses_figure(rows: list[Row], name: str) -> "Figure":
    """Return the figure of a run's losses, the best validation marked.

    The training loss is drawn without label smoothing, which `val/loss` has not either; what is
    minimised stands pale behind it, where it is something else.

    Args:
        rows: as `read_losses` gives them.
        name: of the run, for the title.
    """
    from matplotlib.figure import Figure  # without pyplot, which takes as long again to import

    canvas = Figure(figsize=(7, 4.4), layout="constrained")
    axes = canvas.subplots()
    is_smoothed = any(TRAINED in row and unsmoothed(row) != row[TRAINED] for row in rows)
    minimised = "minimised, with label smoothing" if is_smoothed else "minimised"
    for column, label, style in (
        (TRAINED, f"{TRAINED} ({minimised})", {"color": "C0", "alpha": 0.35 if is_smoothed else 1}),
        (UNSMOOTHED if is_smoothed else "", UNSMOOTHED, {"color": "C0"}),
        (VALIDATION, VALIDATION, {"color": "C1", "marker": "o", "markersize": 4}),
    ):
        points = [(row["step"], row[column]) for row in rows if column in row]
        if points:
            axes.plot(*zip(*points, strict=True), label=label, **style)
    if (best := best_validation(rows)) is not None:
        text = f"best {VALIDATION} {best[VALIDATION]:.4f}, update {best['step']:.0f}"
        axes.plot(best["step"], best[VALIDATION], "*", color="C1", markersize=13, label=text)
    axes.set_title(name, fontsize="medium")
    axes.set_xlabel(f"updates\n{NOTE}", fontsize="small")
    axes.set_ylabel("loss")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    return canvas
