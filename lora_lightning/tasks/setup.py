"""What train and generate set up alike: logging, the model with its method, the trainer."""

import logging
import warnings
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Checkpoint, ProgressBar
from lightning.pytorch.profilers import Profiler, PyTorchProfiler, SimpleProfiler
from lightning.pytorch.strategies.launchers import subprocess_script
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, OmegaConf

from lora_lightning.checkpoints.files import AtomicCheckpoints
from lora_lightning.config.build import build
from lora_lightning.config.rules import check_config
from lora_lightning.config.trainer import OURS
from lora_lightning.errors import InputError, first_line
from lora_lightning.process import process_rank
from lora_lightning.process.lost_ranks import watch_ranks
from lora_lightning.tracking.progress import progress_callback
from lora_lightning.training.exchange import ExchangeAfterBackward
from lora_lightning.training.seat import SEAT

log = logging.getLogger(__name__)


def start(config: DictConfig) -> None:
    """Check the config, and let rank 0 alone speak.

    Raises:
        InputError: a value is not allowed.
    """
    check_config(config)
    leave_out_hints()
    if process_rank() > 0:
        logging.getLogger("lora_lightning").setLevel(logging.WARNING)


def leave_out_hints() -> None:
    """Let Lightning say nothing but errors, and nothing of what is meant as it is."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # Both of Lightning's hints assume that loading is the bottleneck; rows are ready in memory.
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*smaller than the logging interval.*")
    # Under accumulation a schedule that counts micro-batches rightly steps before the optimizer.
    warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*before `optimizer.step.*")
    # The samplers go on where a checkpoint stands; Lightning looks for that in the loader alone.
    warnings.filterwarnings("ignore", message=".*dataloader is not resumable.*")
    warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated.*")
    # PEFT, of what docs/methods.md shows as it is.
    warnings.filterwarnings("ignore", message=".*Using default (EVA|CorDA) config.*")


def build_trainer(
    trainer: DictConfig,
    loggers: list[Any],
    callbacks: list[pl.Callback],
    folder: Path,
    limit_val_batches: float | None = None,
) -> pl.Trainer:
    """Return Lightning's Trainer: our keys that are Lightning's too, and every further argument.

    Our own keys (accumulation, clipping, the run's length, validation within an epoch) steer the
    module: optimization is manual, and there is no sanity validation, which would use up the
    generator of the round-up rows.

    Raises:
        InputError: Lightning refuses a further argument, or a combination of them.
    """
    added = [str(key) for key in trainer if key not in OURS]
    further = build(OmegaConf.masked_copy(trainer, added))
    plugins = further.pop("plugins", None) or []
    plugins = plugins if isinstance(plugins, list) else [plugins]
    shows_bar = further.get("enable_progress_bar")
    progress = progress_callback(trainer.progress_every_n_seconds, shows_bar)
    devices = trainer.devices
    devices = list(devices) if OmegaConf.is_list(devices) else devices
    is_joint_ddp = trainer.strategy == "ddp" and SEAT.get() is not None
    arguments: dict[str, Any] = {
        "accelerator": trainer.accelerator,
        "devices": devices,
        "num_nodes": trainer.num_nodes,
        "strategy": ExchangeAfterBackward() if is_joint_ddp else trainer.strategy,
        "precision": trainer.precision,
        "max_epochs": trainer.max_epochs,
        "limit_val_batches": 1.0 if limit_val_batches is None else limit_val_batches,
        "num_sanity_val_steps": 0,
        "use_distributed_sampler": False,
        "logger": loggers or False,
        "callbacks": [*callbacks, progress],
        "plugins": [AtomicCheckpoints(), *plugins],
        "enable_checkpointing": any(isinstance(callback, Checkpoint) for callback in callbacks),
        "enable_model_summary": False,
        "default_root_dir": folder,
        "profiler": profiler(trainer.profiler, folder / "profile"),
        **further,
        "enable_progress_bar": isinstance(progress, ProgressBar),
    }
    try:
        made = pl.Trainer(**arguments)
    except (MisconfigurationException, ValueError, TypeError) as error:
        if not added:
            raise
        given = ", ".join(f"trainer.{key}" for key in added)
        raise InputError(f"{given}: Lightning refuses this ({first_line(error)})") from None
    # Lightning's handlers swallow SIGTERM, and tell ranks by a collective in the midst of others;
    # under SLURM they requeue the job behind our back.
    connector: Any = made._signal_connector
    connector.register_signal_handlers = lambda: None
    # Its observer kills this process without a word when a rank is lost.
    subprocess_script._launch_process_observer = watch_ranks  # type: ignore[assignment]
    return made


def profiler(kind: str | None, folder: Path) -> Profiler | None:
    """Return Lightning's profiler that writes into `folder`; none where `kind` is None."""
    if kind is None:
        return None
    if kind == "simple":
        return SimpleProfiler(folder, "times")
    return PyTorchProfiler(folder, "operations")
