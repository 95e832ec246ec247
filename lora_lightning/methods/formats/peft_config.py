"""The adapter_config.json of PEFT, as far as our methods need it."""

import math
import re
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from lora_lightning.errors import InputError
from lora_lightning.files import read_json_object
from lora_lightning.methods.biases import CHOICES
from lora_lightning.methods.dora import DoRA
from lora_lightning.methods.inject import lora_layers
from lora_lightning.methods.lora_method import LoRA
from lora_lightning.methods.rslora import RSLoRA
from lora_lightning.methods.targets import FUSED, SLICES

CONFIG = "adapter_config.json"

REQUIRED: dict[str, type | tuple[type, ...]] = {
    "r": int,
    "lora_alpha": (int, float),
    "target_modules": (list, str),
}
"""Keys that we read, and their types."""

READABLE: dict[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "bias": (*CHOICES, None),
    # Other initialisations change the base, which the folder then does not say.
    "init_lora_weights": (True, False, None, "gaussian", "orthogonal", "eva"),
}
"""Values that we can read; see `FEATURES` for keys that have to be absent or empty."""

FEATURES = (
    "lora_bias",
    "modules_to_save",
    "layer_replication",
    "trainable_token_indices",
    "target_parameters",
    "alora_invocation_tokens",
    "use_qalora",
    "use_bdlora",
    "kasa_config",
    "monteclora_config",
    "arrow_config",
)
"""Features of PEFT that change what the tensors mean."""

SUPPORTED = "give a LoRA, rsLoRA or DoRA of PEFT"


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
    is_uniform = fused == common
    targets = [FUSED if target in SLICES else target for target in method.targets]
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": common * method.rank,
        "lora_alpha": method.stacked_alpha(common),
        "rank_pattern": {} if is_uniform else {FUSED: fused * method.rank},
        "alpha_pattern": {} if is_uniform else {FUSED: method.stacked_alpha(fused)},
        "use_rslora": isinstance(method, RSLoRA),
        "use_dora": isinstance(method, DoRA),
        "lora_dropout": method.dropout,
        "target_modules": sorted(set(targets)),
        "fan_in_fan_out": any(isinstance(layer.base, Conv1D) for layer in layers),
        "bias": method.bias,
        "inference_mode": True,
    }


def read_config(folder: Path) -> dict[str, Any]:
    """Return the config of a folder, which asks for nothing that our methods cannot do.

    Raises:
        InputError: the file cannot be read, lacks a key, or asks for a feature that changes what
            the tensors mean.
    """
    path = folder / CONFIG
    config = read_json_object(path)
    for key, allowed in READABLE.items():
        if key in config and config[key] not in allowed:
            raise InputError(f"{path}: {key}={config[key]!r} is not supported; {SUPPORTED}")
    for key in FEATURES:
        if config.get(key):
            raise InputError(f"{path}: {key}={config[key]!r} is not supported; {SUPPORTED}")
    for key, kinds in REQUIRED.items():
        if not isinstance(config.get(key), kinds):
            raise InputError(f"{path}: {key}={config.get(key)!r} is missing or wrong; {SUPPORTED}")
    return config


def method_of(config: dict[str, Any]) -> str:
    """Return the option of the group `method` that computes what a config asks for."""
    if config.get("use_dora"):
        return DoRA.choice
    return RSLoRA.choice if config.get("use_rslora") else LoRA.choice


def plain_alpha(config: dict[str, Any]) -> float:
    """Return the alpha with which the method of `method_of` scales as the config does.

    DoRA with rsLoRA's scale is the DoRA whose alpha is √rank times as large.
    """
    if config.get("use_dora") and config.get("use_rslora"):
        return config["lora_alpha"] * math.sqrt(config["r"])
    return config["lora_alpha"]


def scale_of(name: str, rank: int, config: dict[str, Any]) -> tuple[float, str]:
    """Return by what a module of that rank is scaled, and how it comes about, in words."""
    alpha = alpha_of(name, config)
    if config.get("use_rslora"):
        return alpha / math.sqrt(rank), f"alpha / √rank = {alpha} / √{rank}"
    return alpha / rank, f"alpha / rank = {alpha} / {rank}"


def alpha_of(name: str, config: dict[str, Any]) -> float:
    """Return the alpha of a module, looked up as PEFT does: the first pattern that fits its end."""
    pattern = config.get("alpha_pattern") or {}
    fitting = (value for key, value in pattern.items() if re.match(rf"(.*\.)?({key})$", name))
    return next(fitting, config["lora_alpha"])
