"""Adapter folders in the layout of PEFT: adapter_config.json and adapter_model.safetensors.

PEFT has no LoRA on slices of a fused projection. The same update is a PEFT LoRA on the whole
projection: with S adapted slices, of rank S·rank, its B zero wherever the A of one slice would
meet the outputs of another, and of alpha S·alpha, so that alpha / rank stays. PEFT therefore loads
our folders as they are. What it cannot express, our own settings and the base's fingerprint, lies
beside it in lora_lightning.json.
"""

import math
import re
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel

from lora_lightning.errors import InputError
from lora_lightning.files import write_json
from lora_lightning.methods.base import fingerprint, require_same_base
from lora_lightning.methods.inject import lora_layers
from lora_lightning.methods.json_object import read_json_object
from lora_lightning.methods.lora import LoRALayer
from lora_lightning.methods.lora_method import LoRA
from lora_lightning.methods.peft_config import CONFIG, alpha_of, make_config, read_config
from lora_lightning.methods.tensor_file import (
    read_tensors,
    require_same_tensors,
    write_tensors,
)
from lora_lightning.methods.weights import Weights, model_name

TENSORS = "adapter_model.safetensors"
PREFIX = "base_model.model."
OWN = "lora_lightning.json"
OWN_KEYS = ("rank", "alpha", "dropout", "targets")


def is_peft_folder(path: Path) -> bool:
    """Whether a folder holds an adapter in PEFT's layout."""
    return (path / CONFIG).is_file()


def write_peft(folder: Path, model: PreTrainedModel, method: LoRA, base: str | None) -> None:
    """Write the adapter of `model` into an existing folder.

    Args:
        folder: takes the three files.
        model: its adapters have to be unmerged.
        method: the method that made `model` ready.
        base: name or path of the base model; null takes what transformers knows.
    """
    base = base or model.config.name_or_path or None
    settings = {key: getattr(method, key) for key in OWN_KEYS} | {"targets": list(method.targets)}
    tensors = {f"{PREFIX}{name}.weight": tensor for name, tensor in _peft_tensors(model).items()}
    write_json(folder / CONFIG, make_config(model, method, base))
    write_tensors(folder / TENSORS, tensors)
    write_json(folder / OWN, settings | {"base": {"name": base} | fingerprint(model)})


def read_peft(folder: Path, model: PreTrainedModel, method: LoRA) -> Weights:
    """Read a folder that we or PEFT wrote for `model`.

    Raises:
        InputError: the folder holds something else than plain LoRA, cannot be read, or was made
            for another base, rank, alpha or targets; the message says which overrides fit.
    """
    config = read_config(folder)
    own = _own_settings(folder)
    if own is not None:
        _require_settings(own, method, folder)
        require_same_base(fingerprint(model), own["base"], folder)
    path = folder / TENSORS
    found = {_adapter_name(name, model): tensor for name, tensor in read_tensors(path).items()}
    hint = _overrides(describe_peft(folder))
    for name, layer in lora_layers(model).items():
        tensor = found.get(f"{name}.lora_A")
        if tensor is not None and tensor.dim() == 2:
            _require_rank_and_scale(name, layer, len(tensor), config, path, hint)
    require_same_tensors(_peft_tensors(model), found, path)
    for name, layer in lora_layers(model).items():
        key = f"{name}.lora_B"
        found[key] = _stack_blocks(found[key], layer, f"{path}: tensor {key}", hint)
    return Weights(adapter=found, base={})


def describe_peft(folder: Path) -> dict[str, Any]:
    """Return the `rank`, `alpha`, `dropout` and `targets` with which the folder loads.

    Raises:
        InputError: the folder cannot be read or holds something else than plain LoRA.
    """
    own = _own_settings(folder)
    if own is not None:
        return {key: own[key] for key in OWN_KEYS}
    config = read_config(folder)
    targets = config["target_modules"]
    if isinstance(targets, str):
        # A regular expression, or "all-linear": the tensors tell what it fitted.
        names = read_tensors(folder / TENSORS)
        fitted = (re.sub(r"^.*\.\d+\.|\.lora_[AB]\.weight$", "", name) for name in names)
        targets = list(dict.fromkeys(fitted))
    return {
        "rank": config["r"],
        "alpha": config["lora_alpha"],
        "dropout": config.get("lora_dropout", 0.0),
        "targets": sorted(targets),
    }


def _peft_tensors(model: PreTrainedModel) -> dict[str, Tensor]:
    """Return A (S·rank, in) and B (out, S·rank) of every layer, as PEFT has them."""
    tensors: dict[str, Tensor] = {}
    for name, layer in lora_layers(model).items():
        tensors[f"{name}.lora_A"] = layer.lora_A
        tensors[f"{name}.lora_B"] = layer.expansion().T
    return tensors


def _stack_blocks(expanded: Tensor, layer: LoRALayer, what: str, hint: str) -> Tensor:
    """Turn PEFT's B (out, S·rank) into our stacked one (S·slice_out, rank)."""
    count = len(layer.slices)
    grid = expanded.T.reshape(count, layer.rank, layer.num_slices, layer.slice_features)
    blocks = grid[list(range(count)), :, list(layer.slices)]  # (S, rank, slice_out)
    if blocks.count_nonzero() != grid.count_nonzero():
        raise InputError(f"{what} adapts more than the method.targets; set {hint}")
    return blocks.transpose(1, 2).reshape(-1, layer.rank)


def _own_settings(folder: Path) -> dict[str, Any] | None:
    path = folder / OWN
    if not path.exists():
        return None
    own = read_json_object(path)
    for key in (*OWN_KEYS, "base"):
        if key not in own or (key == "base" and not isinstance(own[key], dict)):
            raise InputError(f"{path}: {key} is missing or wrong; save the adapter again")
    return own


def _require_settings(own: dict[str, Any], method: LoRA, folder: Path) -> None:
    for key in ("rank", "alpha", "targets"):
        ours = getattr(method, key)
        same = set(own[key]) == set(ours) if key == "targets" else own[key] == ours
        if not same:
            raise InputError(
                f"{folder}: was trained with {key} {_plain(own[key])}, but method.{key}="
                f"{_plain(ours)}; set {_overrides(own)}"
            )


def _require_rank_and_scale(
    name: str, layer: LoRALayer, found: int, config: dict[str, Any], path: Path, hint: str
) -> None:
    expected = len(layer.slices) * layer.rank
    if found != expected:
        raise InputError(
            f"{path}: {name} has rank {found}, but method.rank={layer.rank} on "
            f"{len(layer.slices)} slice(s) makes {expected}; set {hint}"
        )
    alpha = alpha_of(name, config)
    if not math.isclose(alpha / found, layer.scale, rel_tol=1e-6):
        raise InputError(
            f"{path}: {name} is scaled by alpha / rank = {alpha} / {found}, but method.alpha="
            f"{layer.alpha} and method.rank={layer.rank} scale by {layer.scale:g}; set {hint}"
        )


def _adapter_name(name: str, model: PreTrainedModel) -> str:
    return model_name(name.removeprefix(PREFIX).removesuffix(".weight"), model)


def _overrides(settings: dict[str, Any]) -> str:
    return " ".join(f"method.{key}={_plain(settings[key])}" for key in ("rank", "alpha", "targets"))


def _plain(value: Any) -> str:
    return f"[{','.join(value)}]" if isinstance(value, list | tuple) else str(value)
