"""Names that a config recorded or written for an earlier version may hold, and today's.

This is the one place that knows them. A run folder's config is read with today's names; a user's
own config keeps working, with a warning (`config/build.py`).
"""

from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig, OmegaConf

RENAMED = {
    "lora_lightning.data.dart.DARTDataModule": "lora_lightning.data.sets.dart.DARTDataModule",
    "lora_lightning.data.e2e.E2EDataModule": "lora_lightning.data.sets.e2e.E2EDataModule",
    "lora_lightning.data.jsonl.JsonlDataModule": "lora_lightning.data.sets.jsonl.JsonlDataModule",
    "lora_lightning.data.webnlg.WebNLGDataModule": (
        "lora_lightning.data.sets.webnlg.WebNLGDataModule"
    ),
    "lora_lightning.evaluation.dart.DARTProtocol": (
        "lora_lightning.evaluation.protocols.dart.DARTProtocol"
    ),
    "lora_lightning.evaluation.e2e.E2EProtocol": (
        "lora_lightning.evaluation.protocols.e2e.E2EProtocol"
    ),
    "lora_lightning.evaluation.webnlg.WebNLGProtocol": (
        "lora_lightning.evaluation.protocols.webnlg.WebNLGProtocol"
    ),
    "lora_lightning.model.lora_plus.lora_plus": "lora_lightning.training.lora_plus.lora_plus",
    "lora_lightning.model.loss.CompletionLoss": "lora_lightning.training.loss.CompletionLoss",
    "lora_lightning.model.loss.JointLoss": "lora_lightning.training.loss.JointLoss",
    "lora_lightning.model.optimizers.adamw": "lora_lightning.training.optimizers.adamw",
    "lora_lightning.model.optimizers.adamw_reference": (
        "lora_lightning.training.optimizers.adamw_reference"
    ),
    "lora_lightning.model.optimizers.sgd": "lora_lightning.training.optimizers.sgd",
    "lora_lightning.model.schedules.ConstantSchedule": (
        "lora_lightning.training.schedules.ConstantSchedule"
    ),
    "lora_lightning.model.schedules.CosineSchedule": (
        "lora_lightning.training.schedules.CosineSchedule"
    ),
    "lora_lightning.model.schedules.CyclicSchedule": (
        "lora_lightning.training.schedules.CyclicSchedule"
    ),
    "lora_lightning.model.schedules.LinearSchedule": (
        "lora_lightning.training.schedules.LinearSchedule"
    ),
    "lora_lightning.run_folder.RefuseResults": "lora_lightning.runs.refused.RefuseResults",
    "lora_lightning.runs.folder.RefuseResults": "lora_lightning.runs.refused.RefuseResults",
    "lora_lightning.tasks.wandb_run.WandbRun": "lora_lightning.tracking.wandb_run.WandbRun",
}


def current_name(name: str) -> str:
    """Return today's name of a class or function; a name that is no earlier one as it is."""
    return RENAMED.get(name, name)


def earlier_names(config: DictConfig) -> list[str]:
    """Return the earlier names that the targets of a config hold, each once."""
    return list(dict.fromkeys(_targets(OmegaConf.to_container(config, resolve=False))))


def with_current_names(config: DictConfig) -> DictConfig:
    """Return the config with today's names in its targets; interpolations stay alive."""
    parent: Any = config._get_parent()
    renewed = _renewed(OmegaConf.to_container(config, resolve=False))
    current: DictConfig = OmegaConf.create(renewed, parent=parent)
    return current


def _targets(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if (name := value.get("_target_")) in RENAMED:
            yield name
        value = list(value.values())
    if isinstance(value, list):
        for child in value:
            yield from _targets(child)


def _renewed(value: Any) -> Any:
    if isinstance(value, list):
        return [_renewed(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: current_name(item) if key == "_target_" else _renewed(item)
        for key, item in value.items()
    }
