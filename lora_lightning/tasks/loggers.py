"""The loggers of a run, closed on every way out."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig, open_dict

from lora_lightning.config import build
from lora_lightning.model.metrics_file import MetricsFile


@contextmanager
def open_loggers(
    loggers: DictConfig, folder: Path, resumed_at: int | None = None
) -> Iterator[list[Logger]]:
    """Yield metrics.csv and the loggers of the config.

    A W&B run is process-wide: left open, the next job of a multirun would write into it.

    Args:
        loggers: the config.
        folder: of the run.
        resumed_at: updates that a resumed run has done; TensorBoard hides what it logged later.
    """
    loggers = loggers.copy()
    if resumed_at is not None and "tensorboard" in loggers:
        with open_dict(loggers):
            loggers.tensorboard.purge_step = resumed_at + 1
    try:
        yield [MetricsFile(folder / "metrics.csv"), *build(loggers).values()]
    finally:
        if "wandb" in sys.modules:
            sys.modules["wandb"].finish()
