"""The loggers of a run, closed on every way out."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig

from lora_lightning.config import build
from lora_lightning.model.metrics_file import MetricsFile


@contextmanager
def open_loggers(loggers: DictConfig, folder: Path) -> Iterator[list[Logger]]:
    """Yield metrics.csv and the loggers of the config.

    A W&B run is process-wide: left open, the next job of a multirun would write into it.
    """
    try:
        yield [MetricsFile(folder / "metrics.csv"), *build(loggers).values()]
    finally:
        if "wandb" in sys.modules:
            sys.modules["wandb"].finish()
