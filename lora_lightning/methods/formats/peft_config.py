"""The adapter_config.json of PEFT, as far as our methods need it."""

import math
import re
from pathlib import Path
from types import NoneType
from typing import Any

from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from lora_lightning.errors import InputError
from lora_lightning.files import read_json_object
from lora_lightning.methods.biases import CHOICES
from lora_lightning.methods.dora import DoRA
from lora_lightning.methods.exceptions import RankAndAlpha
from lora_lightning.methods.inject import lora_layers
from lora_lightning.methods.lora_method import LoRA
from lora_lightning.methods.rslora import RSLoRA
from lora_lightning.methods.targets import FUSED, SLICES, matches_suffix
from lora_lightning.ranges import Count, Positive, accepts, words

CONFIG = "adapter_config.json"

KINDS: dict[str, type | tuple[type, ...]] = {
    "r": int,
    "lora_alpha": (int, float),
    "target_modules": (list, str, NoneType),
    "rank_pattern": (dict, NoneType),
    "alpha_pattern": (dict, NoneType),
}
"""Keys that we read, and their types; one that may be null may be missing."""

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
    "enable_lora",
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
    layers = lora_layers(model)
    blocks = [layer.products for layer in layers.values()]
    # Where all layers have as many products, no pattern is needed.
    common = blocks[0] if min(blocks) == max(blocks) else 1
    ranks: dict[str, float] = {}
    alphas: dict[str, float] = {}
    for name, layer in layers.items():
        ranks[name] = layer.products * layer.rank
        alphas[name] = method.stacked_alpha(layer.products, layer.alpha)
    rank, alpha = common * method.rank, method.stacked_alpha(common, method.alpha)
    targets = [FUSED if target in SLICES else target for target in method.targets]
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": rank,
        "lora_alpha": alpha,
        "rank_pattern": _pattern(ranks, rank),
        "alpha_pattern": _pattern(alphas, alpha),
        "use_rslora": isinstance(method, RSLoRA),
        "use_dora": isinstance(method, DoRA),
        "lora_dropout": method.dropout,
        "target_modules": sorted(set(targets)),
        "fan_in_fan_out": any(isinstance(layer.base, Conv1D) for layer in layers.values()),
        "bias": method.bias,
        "inference_mode": True,
    }


def _pattern(values: dict[str, float], default: float) -> dict[str, float]:
    """Return the values that differ from the default: by module, or where all of `FUSED` alike."""
    differing = {name: value for name, value in values.items() if value != default}
    fused = {name for name in values if matches_suffix(name, FUSED)}
    if fused == differing.keys() and len(set(differing.values())) == 1:
        return {FUSED: next(iter(differing.values()))}
    return differing


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
    for key, kinds in KINDS.items():
        if not isinstance(config.get(key), kinds):
            raise InputError(f"{path}: {key}={config.get(key)!r} is missing or wrong; {SUPPORTED}")
    return config


def method_of(config: dict[str, Any]) -> str:
    """Return the option of the group `method` that computes what a config asks for."""
    if config.get("use_dora"):
        return DoRA.choice
    return RSLoRA.choice if config.get("use_rslora") else LoRA.choice


def settings_of(module: str, config: dict[str, Any], path: Path) -> RankAndAlpha:
    """Return rank and alpha of a module, looked up as PEFT does.

    Args:
        module: its name in the base, as the file of tensors has it.
        config: of the folder.
        path: of the config, for the error.

    Raises:
        InputError: a pattern is no regular expression, or its value no rank or alpha.
    """
    found = {}
    for key, default, kind in (("rank", "r", Count), ("alpha", "lora_alpha", Positive)):
        pattern = config.get(f"{key}_pattern") or {}
        found[key] = _first_fitting(pattern, module, path, f"{key}_pattern", config[default])
        if not accepts(kind, found[key]):
            raise InputError(f"{path}: {key} {found[key]!r} of {module} is not {words(kind)}")
    return RankAndAlpha(**found)


def ours(settings: RankAndAlpha, config: dict[str, Any]) -> RankAndAlpha:
    """Return the alpha with which the method of `method_of` scales as PEFT does.

    DoRA with rsLoRA's scale is the DoRA whose alpha is √rank times as large.
    """
    if config.get("use_dora") and config.get("use_rslora"):
        return settings._replace(alpha=settings.alpha * math.sqrt(settings.rank))
    return settings


def scale_of(settings: RankAndAlpha, config: dict[str, Any]) -> tuple[float, str]:
    """Return by what an update is scaled, and how it comes about, in words."""
    rank, alpha = settings
    if config.get("use_rslora"):
        return alpha / math.sqrt(rank), f"alpha / √rank = {alpha} / √{rank}"
    return alpha / rank, f"alpha / rank = {alpha} / {rank}"


def _first_fitting(pattern: dict[str, Any], module: str, path: Path, key: str, default: Any) -> Any:
    """Return the value of the first pattern that fits the end of a module's name."""
    for expression, value in pattern.items():
        try:
            if re.match(rf"(.*\.)?({expression})$", module):
                return value
        except re.error as error:
            raise InputError(
                f"{path}: {key}: {expression!r} is no regular expression ({error})"
            ) from None
    return default
