"""Which W&B run a job writes: a new one or one that it continues, closed on every way out."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from lora_lightning.config.build import build
from lora_lightning.files import folder_name, read_json
from lora_lightning.runs.folder import LOGGER_IDS, RunFolder, is_job_of_sweep
from lora_lightning.tracking.wandb_account import require_key, send_nothing

if TYPE_CHECKING:
    from lora_lightning.tracking.wandb_run import WandbRun

INTERRUPTED = 130  # what a shell calls the end by Ctrl-C


@contextmanager
def open_wandb(config: DictConfig, folder: Path, task: str) -> Iterator["WandbRun | None"]:
    """Yield this job's W&B run, not yet begun; None where there is none, or in ranks above 0.

    Args:
        config: of the command; its `logger.wandb` describes the run.
        folder: where the job writes.
        task: `train`, `generate` or `evaluate`.

    Raises:
        InputError: an online run has no key. It is raised at once, and nothing is asked.
    """
    if "wandb" not in config.logger or config.dry_run or getattr(rank_zero_only, "rank", 0):
        yield None
        return
    if config.logger.wandb.offline:
        send_nothing()
    else:
        require_key()
    run = make_run(config, folder, task)
    code = 0
    try:
        yield run
    except BaseException as error:
        code = exit_code_of(error)
        raise
    finally:
        # A W&B run is process-wide: left open, the next job of a multirun would write into it.
        run.end(code)


def exit_code_of(error: BaseException) -> int:
    """Return the exit code that a process has which `error` ends."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    return int(getattr(error, "exit_code", 1))


def make_run(config: DictConfig, folder: Path, task: str) -> "WandbRun":
    """Return the W&B run that this job writes: a training run's that it continues, or a new one.

    `generate.py` and `evaluate.py` add to the run of the training that they belong to; its config,
    name, group and job type stay.
    """
    id = continued_id(config, folder, task)
    if id is not None and task != "train":
        return build(config.logger.wandb, id=id)
    group = config.logger.wandb.group
    if group is None and is_job_of_sweep():
        group = folder.parent.name
    name = config.logger.wandb.name or f"{folder.parent.name}/{folder.name}"
    run: WandbRun = build(config.logger.wandb, id=id, name=name, group=group, job_type=task)
    run.settings = settings_of(config)
    return run


def continued_id(config: DictConfig, folder: Path, task: str) -> str | None:
    """Return the id of the W&B run that this job continues, if it continues one."""
    if task == "train":
        source = folder if config.get("resume") else None
    else:
        source = None if config.run is None else RunFolder.open(config.run).path
    ids = source and source / LOGGER_IDS
    return read_json(ids).get("wandb") if ids and ids.is_file() else None


def label_of(config: DictConfig) -> str:
    """Return what tells this job's predictions and scores from others of the same run."""
    if config.get("inputs") is not None:
        return folder_name(Path(config.inputs).stem) or "inputs"
    name = folder_name(str(config.name)) if config.get("run") else ""
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
