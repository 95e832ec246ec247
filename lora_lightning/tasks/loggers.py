"""The loggers of a job: metrics.csv, those of the config, and the W&B run that it writes.

A W&B run is a new one, or the training's that the job belongs to, and is closed on every way out.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf, open_dict

from lora_lightning.config.build import build, build_each
from lora_lightning.config.commands import VALIDATED
from lora_lightning.config.label import label_of_folder
from lora_lightning.config.resolvers import inputs_label
from lora_lightning.config.rules import validated
from lora_lightning.errors import InputError
from lora_lightning.files import folder_name
from lora_lightning.runs.folder import LOGGER_IDS, RunFolder, is_job_of_sweep
from lora_lightning.runs.stored_results import read_logger_ids
from lora_lightning.tracking.metrics_file import MetricsFile
from lora_lightning.tracking.run_logger import run_loggers
from lora_lightning.tracking.wandb_account import require_key, send_nothing, wandb_mode
from lora_lightning.training.seat import SEAT

if TYPE_CHECKING:
    from lora_lightning.tracking.wandb_run import WandbRun

INTERRUPTED = 130  # what a shell calls the end by Ctrl-C


@contextmanager
def open_loggers(
    config: DictConfig, folder: Path, task: str, resumed_at: int | None = None
) -> Iterator[list[Logger]]:
    """Yield this job's loggers, not yet begun; those that keep a run are told how the job ended.

    Training has them all, decoding and scoring those that can add to the training's run.

    Args:
        config: of the command.
        folder: where the job writes.
        task: `train`, `generate` or `evaluate`.
        resumed_at: updates that a resumed run has done.

    Raises:
        InputError: an online W&B run has no key. It is raised at once, and nothing is asked.
    """
    loggers = configured_loggers(config.logger, resumed_at)
    if task == "train":
        texts = [name for name in validated(config) if name not in VALIDATED]
        loggers = [MetricsFile(folder / "metrics.csv", texts), *loggers]
    else:
        loggers = [*run_loggers(loggers)]
    is_recorded = not config.dry_run and getattr(rank_zero_only, "rank", 0) == 0
    if "wandb" in config.logger and is_recorded:
        mode = "offline" if config.logger.wandb.offline else wandb_mode()
        if mode == "offline":
            send_nothing()
        elif mode == "online":
            require_key()
        if mode != "disabled":
            loggers.append(wandb_run(config, folder, task))
    code = 0
    try:
        yield loggers
    except BaseException as error:
        code = exit_code_of(error)
        raise
    finally:
        # A W&B run is process-wide: left open, the next job of a multirun would write into it.
        for logger in run_loggers(loggers):
            logger.end(code)


def configured_loggers(nodes: DictConfig, resumed_at: int | None) -> list[Logger]:
    """Return the loggers of the config but W&B, which needs to know what it goes on with."""
    nodes = nodes.copy()
    if resumed_at is not None and "tensorboard" in nodes:
        with open_dict(nodes):  # TensorBoard hides what it logged later
            nodes.tensorboard.purge_step = resumed_at + 1
    others = OmegaConf.masked_copy(nodes, [str(name) for name in nodes if name != "wandb"])
    return build_each("logger", others, Logger)


def exit_code_of(error: BaseException) -> int:
    """Return the exit code that a process has which `error` ends."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    return int(getattr(error, "exit_code", 1))


def wandb_run(config: DictConfig, folder: Path, task: str) -> "WandbRun":
    """Return the W&B run that this job writes: a training run's that it continues, or a new one.

    `generate.py` and `evaluate.py` add to the run of the training that they belong to; its config,
    name, group and job type stay.
    """
    id = continued_id(config, folder, task)
    if id is not None and task != "train":
        return build(config.logger.wandb, id=id)
    group = config.logger.wandb.group or os.environ.get("WANDB_RUN_GROUP")
    if group is None and is_job_of_sweep():
        group = folder.parent.name
    name = config.logger.wandb.name or os.environ.get("WANDB_NAME")
    name = name or f"{folder.parent.name}/{folder.name}"
    further = {} if SEAT.get() is None else {"reinit": "create_new"}  # beside the others' runs
    settings = {"id": id, "name": name, "group": group, "job_type": task}
    run: WandbRun = build(config.logger.wandb, **settings, **further)
    run.shown_config = settings_of(config)
    return run


def continued_id(config: DictConfig, folder: Path, task: str) -> str | None:
    """Return the id of the W&B run that this job continues, if it continues one."""
    if task == "train":
        source = folder if config.get("resume") else None
    else:
        source = None if config.run is None else RunFolder.open(config.run).path
    if source is None:
        return None
    id = read_logger_ids(source / LOGGER_IDS).get("wandb")
    if id is not None and folder_name(id) != id:  # W&B makes a folder's name of it
        raise InputError(f"{source / LOGGER_IDS}: {id!r} is no id of a W&B run; remove it")
    return id


def label_of(config: DictConfig) -> str:
    """Return what tells this job's predictions and scores from others of the same run."""
    if config.get("inputs") is not None:
        return inputs_label(config.inputs)
    name = label_of_folder(config.name) if config.get("run") else ""
    return f"{config.split}_{name}" if name else str(config.split)


def settings_of(config: DictConfig) -> dict[str, Any]:
    """Return what the dashboard shows as the run's config: all keys, resolved, and flat axes.

    The axes that sweeps go along stand at the top: rank, alpha, lr, seed, dataset, method, model.
    The last two are names of groups as well, whose keys stand in method_config and model_config.
    """
    plain: Any = OmegaConf.to_container(config, resolve=True)
    choices = HydraConfig.get().runtime.choices
    axes = {
        "rank": config.method.get("rank"),
        "alpha": config.method.get("alpha"),
        "lr": (config.get("optimizer") or {}).get("lr"),
        "seed": config.seed,
        "dataset": choices["data"],
        "method": choices["method"],
        "model": choices["model"],
    }
    groups = {f"{group}_config": plain[group] for group in ("method", "model")}
    return plain | groups | axes
