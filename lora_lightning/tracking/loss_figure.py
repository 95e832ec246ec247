"""loss.png: training and validation loss over updates."""

from pathlib import Path

from lora_lightning.files import atomic_path
from lora_lightning.tracking.csv_tables import read_metrics


def draw_losses(metrics: Path, figure: Path) -> None:
    """Draw `metrics` (a metrics.csv) into `figure` (a PNG)."""
    from matplotlib.figure import Figure  # without pyplot, which takes as long again to import

    rows = read_metrics(metrics)
    canvas = Figure(figsize=(7, 4), layout="constrained")
    axes = canvas.subplots()
    for column, style in (("train/loss", "-"), ("val/loss", "o-")):
        points = [(row["step"], row[column]) for row in rows if column in row]
        if points:
            axes.plot(*zip(*points, strict=True), style, label=column, markersize=4)
    axes.set_xlabel("update")
    axes.set_ylabel("loss")
    axes.grid(alpha=0.3)
    axes.legend()
    with atomic_path(figure) as temporary:
        canvas.savefig(temporary, dpi=150, format="png")
