"""The loggers of a run that need nothing but its folder."""

from pathlib import Path

from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig, open_dict

from lora_lightning.config.build import build
from lora_lightning.tracking.metrics_file import MetricsFile


def open_loggers(loggers: DictConfig, folder: Path, resumed_at: int | None = None) -> list[Logger]:
    """Return metrics.csv and the loggers of the config, but W&B, which `open_wandb` opens.

    Args:
        loggers: the config.
        folder: of the run.
        resumed_at: updates that a resumed run has done; TensorBoard hides what it logged later.
    """
    loggers = loggers.copy()
    if resumed_at is not None and "tensorboard" in loggers:
        with open_dict(loggers):
            loggers.tensorboard.purge_step = resumed_at + 1
    others = [build(node) for name, node in loggers.items() if name != "wandb"]
    return [MetricsFile(folder / "metrics.csv"), *others]
