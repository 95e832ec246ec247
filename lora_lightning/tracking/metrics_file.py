"""metrics.csv and diagnostics.csv: a row a logged update, whatever other loggers a run has."""

import csv
from collections.abc import Sequence
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

    Metrics that are no column of metrics.csv go into diagnostics.csv beside it: which these are
    depends on the method.

    Lightning's CSVLogger rewrites the file and clears the folder of an earlier run, so a run could
    not go on in its own folder.

    Args:
        path: of metrics.csv.
        further: its columns behind the usual ones.
    """

    def __init__(self, path: Path, further: Sequence[str] = ()) -> None:
        super().__init__()
        self.path = path
        self.columns = (*COLUMNS, *further)

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
        """Append a row to metrics.csv, and one of all other metrics to diagnostics.csv.

        What callbacks log without an epoch is none of the run's rows: it counts other steps, and
        its columns would be the first.
        """
        if "epoch" not in metrics:
            return
        row = {"step": step, **metrics}
        _append(self.path, self.columns, row)
        others = [key for key in row if key not in self.columns]
        if others:
            path = self.path.with_name("diagnostics.csv")
            _append(path, _header(path) or ("step", "epoch", *others), row)

    @rank_zero_only
    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        """Do nothing: the run folder holds config.yaml."""


def _header(path: Path) -> tuple[str, ...]:
    """Return the columns of a CSV file; none where it does not exist."""
    if not path.is_file():
        return ()
    with path.open(encoding="utf-8", newline="") as file:
        return tuple(next(csv.reader(file), ()))


def _append(path: Path, columns: Sequence[str], row: dict[str, Any]) -> None:
    is_new = not path.exists()
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
        if is_new:
            writer.writeheader()
        writer.writerow(row)
