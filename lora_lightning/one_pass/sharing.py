"""Which jobs of a sweep can share their base, and what keeps the others from it."""

import json
from collections.abc import Sequence
from typing import Any

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from lora_lightning.config.renamed import current_name
from lora_lightning.methods.lora_method import LoRA
from lora_lightning.methods.peft_method import PEFT
from lora_lightning.process import slurm_tasks

TRAINER = (
    "max_steps", "max_epochs", "accumulate_grad_batches", "gradient_clip_val",
    "val_check_interval", "limit_val_batches", "validate_first", "measure_peak",
    "log_every_n_steps", "save_every_n_steps", "progress_every_n_seconds", "max_time",
)  # fmt: skip
"""Keys of `trainer` in which jobs may differ."""


def obstacle(config: DictConfig) -> str | None:
    """Return what keeps a job from sharing its base with others, None: nothing.

    Args:
        config: of the job, `hydra` included.
    """
    if "trainer" not in config:
        return "what is only scored has no base"
    if config.get("text") is not None:
        return "text= is printed, one after another"
    trainer = config.trainer
    if trainer.num_nodes != 1:
        return f"trainer.num_nodes={trainer.num_nodes} needs a launcher on each machine"
    if trainer.strategy == "ddp" and slurm_tasks() > 1:
        return "SLURM has started the ranks of each job"
    if trainer.profiler is not None:
        return f"trainer.profiler={trainer.profiler} is of a whole pass"
    if not _leaves_projections(config.method):
        name = config.hydra.runtime.choices["method"]
        return f"method={name} does not leave the projections of the base to others"
    return _obstacle_of_training(config) if "optimizer" in config else None


def _obstacle_of_training(config: DictConfig) -> str | None:
    trainer = config.trainer
    if trainer.compile:
        return "trainer.compile=true is of a whole pass"
    if trainer.precision == "16-mixed":
        return "trainer.precision=16-mixed scales each job's loss on its own"
    if trainer.get("detect_anomaly"):
        return "trainer.detect_anomaly watches a whole pass"
    return None


def _leaves_projections(method: DictConfig) -> bool:
    kind = get_object(current_name(method._target_))
    if kind is PEFT:
        return not method.linear  # which keeps each weight in a tensor of its own
    return isinstance(kind, type) and issubclass(kind, LoRA)


def groups_of(configs: Sequence[DictConfig]) -> list[list[int]]:
    """Divide jobs into those that share a base, by number; one that cannot is alone."""
    groups: dict[str, list[int]] = {}
    for number, config in enumerate(configs):
        alone = obstacle(config) is not None
        key = f"alone {number}" if alone else json.dumps(what_is_shared(config), sort_keys=True)
        groups.setdefault(key, []).append(number)
    return list(groups.values())


def what_is_shared(config: DictConfig) -> dict[str, Any]:
    """Return what jobs of one pass have in common: base, device, precision, checkpointing."""
    shared: dict[str, Any] = {}
    for group, free in (("model", ()), ("trainer", TRAINER)):
        node: Any = OmegaConf.to_container(config[group], resolve=True)
        shared[group] = {key: value for key, value in node.items() if key not in free}
    return shared
