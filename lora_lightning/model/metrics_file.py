"""metrics.csv: one row a logged update or validation, whatever other loggers a run has."""

import csv
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

COLUMNS = (
    "step",
    "epoch",
    "train/loss",
    "train/lr",
    "train/tokens_per_second",
    "val/loss",
    "val/perplexity",
    "val/loss_per_token",
    "val/perplexity_per_token",
)


class MetricsFile(Logger):
    """Appends rows at full precision and flushes each, so that a killed run keeps what it had.

    Lightning's CSVLogger rewrites the file and clears the folder of an earlier run, so a run could
    not go on in its own folder.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    @property
    def name(self) -> str:
        """Name of the logger."""
        return "metrics"

    @property
    def version(self) -> str:
        """One file, so no versions."""
        return ""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Append one row; metrics that are no column of the file are left to other loggers."""
        is_new = not self.path.exists()
        with self.path.open("a", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\n")
            if is_new:
                writer.writeheader()
            writer.writerow({"step": step, **metrics})

    @rank_zero_only
    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        """Do nothing: the run folder holds config.yaml."""


def read_metrics(path: Path) -> list[dict[str, float]]:
    """Return the rows of a metrics.csv, each without its empty cells."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {key: float(value) for key, value in row.items() if value}
            for row in csv.DictReader(file)
        ]
