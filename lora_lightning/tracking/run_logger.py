"""What a logger may take of a run beside its metrics: adapters, predictions, scores."""

from collections.abc import Iterable
from pathlib import Path

from lightning.pytorch.loggers import Logger

from lora_lightning.methods.method import ParameterRow


class RunLogger(Logger):
    """A logger that is told of all that a run writes; what it does not override does nothing.

    Nothing may be created before `begin` or `begin_training`, so that bad input leaves nothing
    behind. Used in rank 0 alone.
    """

    def begin(self) -> None:
        """Begin a run of `generate.py` or `evaluate.py`, or go on with the training's."""

    def begin_training(self, folder: Path, rows: list[ParameterRow], total: int) -> None:
        """Begin a training.

        Args:
            folder: the training run's.
            rows: the table of trainable parameters.
            total: number of all parameters.
        """

    def log_adapters(self, folder: Path) -> None:
        """Take the adapters that a training wrote into its run folder."""

    def log_predictions(self, folder: Path, label: str, checkpoint: str) -> None:
        """Take predictions.

        Args:
            folder: holds `predictions.jsonl` and `manifest.json`.
            label: what tells these predictions from others of the run, such as `test`.
            checkpoint: `last` or `best`.
        """

    def log_evaluation(self, folder: Path, label: str) -> None:
        """Take scores.

        Args:
            folder: holds `metrics.json` and `sentences.jsonl`.
            label: begins the names of the scores, such as `test`.
        """

    def end(self, exit_code: int) -> None:
        """Close the run, if it began; `exit_code` is the job's."""


def run_loggers(loggers: Iterable[Logger]) -> list[RunLogger]:
    """Return those of a job's loggers that take more than metrics."""
    return [logger for logger in loggers if isinstance(logger, RunLogger)]
