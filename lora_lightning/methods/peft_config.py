"""The adapter_config.json of PEFT, as far as plain LoRA needs it."""

import re
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from lora_lightning.errors import InputError
from lora_lightning.methods.inject import lora_layers
from lora_lightning.methods.json_object import read_json_object
from lora_lightning.methods.lora_method import LoRA
from lora_lightning.methods.targets import FUSED, SLICES

CONFIG = "adapter_config.json"

REQUIRED: dict[str, type | tuple[type, ...]] = {
    "r": int,
    "lora_alpha": (int, float),
    "target_modules": (list, str),
}
"""Keys that we read, and their types."""

PLAIN: dict[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "bias": ("none", None),
    # Other initialisations change the base, which the folder then does not say.
    "init_lora_weights": (True, False, None, "gaussian", "orthogonal", "eva"),
}
"""Values that plain LoRA has; see `FEATURES` for keys that have to be absent or empty."""

FEATURES = (
    "use_rslora",
    "use_dora",
    "lora_bias",
    "modules_to_save",
    "layer_replication",
    "trainable_token_indices",
    "target_parameters",
    "alora_invocation_tokens",
    "use_qalora",
    "arrow_config",
)
"""Features of PEFT that change what the tensors mean."""


def make_config(model: PreTrainedModel, method: LoRA, base: str | None) -> dict[str, Any]:
    """Return the config with which PEFT puts the LoRA of `model` into a base.

    Args:
        model: made ready by `method`.
        method: the method.
        base: name or path of the base model.
    """
    layers = lora_layers(model).values()
    blocks = [len(layer.slices) for layer in layers]
    # Where all layers have as many slices, no pattern is needed.
    fused = max(blocks)
    common = fused if min(blocks) == fused else 1
    targets = [FUSED if target in SLICES else target for target in method.targets]
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": common * method.rank,
        "lora_alpha": common * method.alpha,
        "rank_pattern": {} if fused == common else {FUSED: fused * method.rank},
        "alpha_pattern": {} if fused == common else {FUSED: fused * method.alpha},
        "lora_dropout": method.dropout,
        "target_modules": sorted(set(targets)),
        "fan_in_fan_out": any(isinstance(layer.base, Conv1D) for layer in layers),
        "bias": "none",
        "inference_mode": True,
    }


def read_config(folder: Path) -> dict[str, Any]:
    """Return the config of a folder, of which nothing but plain LoRA can be expected.

    Raises:
        InputError: the file cannot be read, lacks a key, or asks for a feature that changes what
            the tensors mean.
    """
    path = folder / CONFIG
    config = read_json_object(path)
    for key, allowed in PLAIN.items():
        if key in config and config[key] not in allowed:
            raise InputError(f"{path}: {key}={config[key]!r} is not supported, only plain LoRA is")
    for key in FEATURES:
        if config.get(key):
            raise InputError(f"{path}: {key}={config[key]!r} is not supported, only plain LoRA is")
    for key, kinds in REQUIRED.items():
        if not isinstance(config.get(key), kinds):
            raise InputError(
                f"{path}: {key}={config.get(key)!r} is missing or wrong; give a LoRA of PEFT"
            )
    return config


def alpha_of(name: str, config: dict[str, Any]) -> float:
    """Return the alpha of a module, looked up as PEFT does: the first pattern that fits its end."""
    pattern = config.get("alpha_pattern") or {}
    fitting = (value for key, value in pattern.items() if re.match(rf"(.*\.)?({key})$", name))
    return next(fitting, config["lora_alpha"])
