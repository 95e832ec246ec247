"""The base model under its adapters: its tensors, and how to know it again."""

import hashlib
from collections.abc import Container
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from lora_lightning.errors import InputError
from lora_lightning.methods.lora import LoRALayer

SHAPE_KEYS = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "max_position_embeddings",
)
SAMPLES = 1024
"""About so many values of each tensor enter the fingerprint, so that it costs milliseconds."""


def adapter_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return what the adapters of `model` train, by names such as `transformer.h.0.….lora_A`."""
    return {
        f"{name}.{leaf}": parameter
        for name, module in model.named_modules()
        if isinstance(module, LoRALayer)
        for leaf, parameter in module.adapter_parameters().items()
    }


def base_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return the parameters of the base, by the names they have in a model without adapters.

    A tied weight appears once, under its first name. The tensors are the model's own.
    """
    unwrapped: dict[str, str] = {}
    tensors: dict[int, tuple[str, Tensor]] = {}
    for path, module in model.named_modules():
        if isinstance(module, LoRALayer):
            unwrapped[f"{path}.base"] = path
            continue
        owner = unwrapped.get(path, path)
        for leaf, parameter in module.named_parameters(recurse=False):
            tensors.setdefault(id(parameter), (f"{owner}.{leaf}", parameter))
    return dict(tensors.values())


def fingerprint(model: PreTrainedModel, trained: Container[str] = ()) -> dict[str, Any]:
    """Return what tells one base from another: shape keys of its config, and a checksum.

    The checksum is the SHA-256 of names, shapes and evenly spaced values of every tensor, rounded
    to bfloat16, so that a base loaded in float32 and in bfloat16 counts as the same. Adapters have
    to be unmerged.

    Args:
        model: the base, with or without adapters.
        trained: names of base tensors that the method changes; they are left out.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(base_tensors(model).items()):
        if name in trained:
            continue
        digest.update(f"{name} {tuple(tensor.shape)} ".encode())
        values = tensor.detach().flatten()
        sample = values[:: max(1, len(values) // SAMPLES)].to(torch.bfloat16).cpu()
        digest.update(sample.view(torch.int16).numpy().tobytes())
    return config_shape(model.config) | {"sha256": digest.hexdigest()}


def config_shape(config: Any) -> dict[str, Any]:
    """Return the entries of a transformers config that decide what its weights mean."""
    return {key: getattr(config, key, None) for key in SHAPE_KEYS}


def require_same_shape(ours: dict[str, Any], theirs: dict[str, Any], source: object) -> None:
    """Compare what `config_shape` or `fingerprint` says of the model and of a file's base.

    Raises:
        InputError: an entry differs; the message names the first.
    """
    for key in SHAPE_KEYS:
        if ours[key] != theirs.get(key):
            raise InputError(
                f"{source}: is for a base with {key}={theirs.get(key)}, but the model has "
                f"{key}={ours[key]}; choose its base with model.path"
            )


def require_same_base(ours: dict[str, Any], theirs: dict[str, Any], source: object) -> None:
    """Compare the fingerprint of the model's base with the one that a file was made for.

    Raises:
        InputError: they are not the same base.
    """
    require_same_shape(ours, theirs, source)
    if ours["sha256"] != theirs.get("sha256"):
        raise InputError(
            f"{source}: is for a base of this shape with other weights, "
            f"{theirs.get('name') or 'of unknown name'}; choose it with model.path"
        )
