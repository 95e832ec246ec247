"""Which jobs of a sweep can train over one base, and what keeps the others from it."""

import json
from collections.abc import Sequence
from typing import Any

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from lora_lightning.config.renamed import current_name
from lora_lightning.config.trainer import processes
from lora_lightning.methods.lora_method import LoRA

TRAINER = (
    "max_steps", "max_epochs", "accumulate_grad_batches", "gradient_clip_val",
    "val_check_interval", "limit_val_batches", "validate_first", "measure_peak",
    "log_every_n_steps", "save_every_n_steps", "progress_every_n_seconds", "max_time",
)  # fmt: skip
"""Keys of `trainer` in which jobs may differ."""


def obstacle(config: DictConfig) -> str | None:
    """Return what keeps a job from training over a base together with others, None: nothing.

    Args:
        config: of the job, `hydra` included.
    """
    if "trainer" not in config or "optimizer" not in config:
        return "only trainings share a pass over the base"
    trainer = config.trainer
    if trainer.strategy != "auto" or trainer.num_nodes != 1 or processes(trainer.devices) != 1:
        return f"trainer.strategy={trainer.strategy} starts processes of its own"
    for key, shared in (("compile", False), ("gradient_checkpointing", False), ("profiler", None)):
        if trainer[key] != shared:
            return f"trainer.{key}={trainer[key]} is of a whole pass"
    if trainer.precision == "16-mixed":
        return "trainer.precision=16-mixed scales each job's loss on its own"
    if trainer.get("detect_anomaly"):
        return "trainer.detect_anomaly watches a whole pass"
    return _obstacle_of_method(config.method, config.hydra.runtime.choices["method"])


def _obstacle_of_method(method: DictConfig, name: str) -> str | None:
    kind = get_object(current_name(method._target_))
    if not (isinstance(kind, type) and issubclass(kind, LoRA)):
        return f"method={name} does not leave the projections of the base to others"
    if method.get("bias", "none") != "none":
        return f"method.bias={method.bias} trains biases of the base"
    return None


def groups_of(configs: Sequence[DictConfig]) -> list[list[int]]:
    """Divide jobs into those that train over one base, by number; one that cannot is alone."""
    groups: dict[str, list[int]] = {}
    for number, config in enumerate(configs):
        alone = obstacle(config) is not None
        key = f"alone {number}" if alone else json.dumps(what_is_shared(config), sort_keys=True)
        groups.setdefault(key, []).append(number)
    return list(groups.values())


def what_is_shared(config: DictConfig) -> dict[str, Any]:
    """Return what jobs of one pass have in common: base, device, precision."""
    shared: dict[str, Any] = {}
    for group, free in (("model", ()), ("trainer", TRAINER)):
        node: Any = OmegaConf.to_container(config[group], resolve=True)
        shared[group] = {key: value for key, value in node.items() if key not in free}
    return shared
