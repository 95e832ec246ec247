"""The keys of `trainer`: our own, and every argument of Lightning's Trainer that may be added."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lora_lightning.config.arguments import arguments_of, check_within, target_of
from lora_lightning.config.keys import unknown_key
from lora_lightning.errors import InputError
from lora_lightning.ranges import (
    Count,
    CountOrZero,
    DeviceNumbers,
    NotNegative,
    Positive,
    PositiveShare,
    Share,
)


@dataclass(frozen=True, kw_only=True)
class TrainerSettings:
    """Our own keys of `trainer`; some are Lightning's arguments of the same name.

    What each means says `configs/trainer/default.yaml`.

    Raises:
        InputError: the values contradict each other, or this machine has no such devices.
    """

    accelerator: Literal["auto", "cpu", "gpu", "mps"]
    devices: Literal["auto"] | Count | DeviceNumbers
    num_nodes: Count
    strategy: Literal["auto", "ddp"]
    precision: Literal["32-true", "16-mixed", "bf16-mixed"]
    gradient_checkpointing: bool
    compile: bool
    measure_peak: bool
    profiler: Literal["simple", "pytorch"] | None
    max_epochs: Count
    max_steps: Count | None
    accumulate_grad_batches: Count
    gradient_clip_val: NotNegative | None
    val_check_interval: Count | PositiveShare | None
    limit_val_batches: CountOrZero | Share | None
    validate_first: bool
    log_every_n_steps: Count
    save_every_n_steps: Count | None
    progress_every_n_seconds: Positive

    def __post_init__(self) -> None:
        import torch

        gpus = torch.cuda.device_count()
        if self.accelerator == "gpu" and gpus == 0:
            raise InputError("trainer.accelerator=gpu: no GPU is visible; use trainer=cpu")
        if self.accelerator == "mps" and not torch.backends.mps.is_available():
            raise InputError("trainer.accelerator=mps: no GPU of Apple's here; use trainer=cpu")
        is_gpu = self.accelerator == "gpu" or (self.accelerator == "auto" and gpus > 0)
        if is_gpu:
            self._check_gpus(gpus)
        elif not isinstance(self.devices, int | str):
            raise InputError(
                f"trainer.devices={list(self.devices)}: the numbers of GPUs, which a run on "
                "something else has not; give how many processes, or trainer.accelerator=gpu"
            )
        is_several = processes(self.devices) != 1 and not (is_gpu and gpus == 1)
        if is_several and self.accelerator == "mps":
            raise InputError(f"trainer.devices={self.devices}: Apple's GPU is one; leave it at 1")
        if is_several and self.strategy == "auto":
            raise InputError(
                f"trainer.devices={self.devices} needs trainer.strategy=ddp (or trainer=ddp, "
                "trainer=ddp_cpu)"
            )
        if self.precision == "16-mixed" and not is_gpu:
            raise InputError("trainer.precision=16-mixed needs a GPU; use bf16-mixed or 32-true")

    def _check_gpus(self, gpus: int) -> None:
        if isinstance(self.devices, int) and self.devices > gpus:
            raise InputError(f"trainer.devices={self.devices}: this machine has {gpus} GPUs")
        if isinstance(self.devices, int | str):
            return
        numbers = list(self.devices)
        if max(numbers) >= gpus or len(set(numbers)) < len(numbers):
            raise InputError(
                f"trainer.devices={numbers}: this machine's GPUs are {list(range(gpus))}, each to "
                f"be named once; trainer.devices={len(numbers)} takes so many, whichever"
            )


def processes(devices: str | int | Sequence[int]) -> int | None:
    """Return how many processes `trainer.devices` asks for on a machine, None where all."""
    if isinstance(devices, str):
        return None
    return devices if isinstance(devices, int) else len(devices)


OURS = tuple(TrainerSettings.__dataclass_fields__)
PASSED = (
    "deterministic",
    "benchmark",
    "detect_anomaly",
    "inference_mode",
    "max_time",
    "enable_progress_bar",
    "enable_model_summary",
    "enable_autolog_hparams",
    "plugins",
)
REFUSED = {
    "logger": "loggers are the group logger, such as logger=tensorboard",
    "callbacks": "callbacks are the group callbacks, such as callbacks=early_stopping",
    "default_root_dir": "the run folder is output_dir=",
    "fast_dev_run": "it would write no run folder; use debug=fast",
    "overfit_batches": "it would exchange the data module's row order; use debug=overfit",
    "limit_train_batches": "schedules count the run's batches beforehand; use data.limit_train",
    "limit_test_batches": "predictions are complete or not there; use data.limit_test",
    "limit_predict_batches": "predictions are complete or not there; use data.limit_test",
    "min_epochs": "a run ends where its schedule does; use trainer.max_epochs",
    "min_steps": "a run ends where its schedule does; use trainer.max_steps",
    "check_val_every_n_epoch": "an epoch's end is always validated; use trainer.val_check_interval "
    "to validate more often, trainer.limit_val_batches to validate less",
    "num_sanity_val_steps": "it would use up the random rows that fill the reference's last "
    "batch; use trainer.validate_first=true",
    "use_distributed_sampler": "the data module deals the batches out to the ranks itself",
    "reload_dataloaders_every_n_epochs": "the data module shuffles anew in each epoch itself",
    "gradient_clip_algorithm": "the norm of the accumulated gradient is clipped; use "
    "trainer.gradient_clip_val",
    "enable_checkpointing": "a run keeps checkpoints/last.ckpt for resume=; use "
    "trainer.save_every_n_steps",
    "barebones": "it would switch off metrics and checkpoints; use debug=profiler to find what "
    "costs time",
    "sync_batchnorm": "GPT-2 has no batch normalisation; leave it out",
    "model_registry": "a run keeps its adapters in its own folder; use logger=wandb to upload them",
}


def check_further_arguments(given: Mapping[str, Any]) -> None:
    """Check arguments of Lightning's Trainer that are no keys of ours.

    Args:
        given: values by argument.

    Raises:
        InputError: the argument is refused, is not Lightning's, or its value not of its type.
    """
    if not given:
        return
    for name in given:
        if name in REFUSED:
            raise InputError(f"trainer.{name} is not available: {REFUSED[name]}")
    from lightning.pytorch import Trainer

    arguments = arguments_of(Trainer)
    for name, value in given.items():
        if name not in arguments.annotations:
            known = [*OURS, *(key for key in arguments.annotations if key not in REFUSED)]
            raise InputError(unknown_key(f"trainer.{name}", [f"trainer.{key}" for key in known]))
        check_within(f"trainer.{name}", value)
    arguments.check("trainer.", given)
    _refuse_checkpoint_plugin(given.get("plugins"))


def _refuse_checkpoint_plugin(plugins: Any) -> None:
    from lightning.fabric.plugins import CheckpointIO

    for node in plugins if isinstance(plugins, list) else [plugins]:
        target = target_of("trainer.plugins", node) if isinstance(node, dict) else None
        if inspect.isclass(target) and issubclass(target, CheckpointIO):
            raise InputError(
                f"trainer.plugins: {node['_target_']} would replace how checkpoints are written, "
                "whole or not at all; leave it out"
            )
