"""The base model under its adapters: its tensors and the adapters', and how to know it again."""

import hashlib
import json
from collections.abc import Container, Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from lora_lightning.errors import InputError
from lora_lightning.gpt2.empty import empty_modules

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
    """Return what a method added to `model`, by names such as `transformer.h.0.….lora_A`.

    These are all parameters and persistent buffers that the base does not have, trained or not.
    """
    ours = {id(parameter) for parameter, _ in _base_parameters(model).values()}
    stored = [*model.named_parameters(), *_persistent_buffers(model)]
    return {name: tensor for name, tensor in stored if id(tensor) not in ours}


def base_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return the parameters of the base, by the names they have in a model without adapters.

    A tied weight appears once, under its first name. The tensors are the model's own; of an
    `nn.Linear` in the place of a `Conv1D` they are views of that one's layout.
    """
    return {
        name: parameter.T if is_turned else parameter
        for name, (parameter, is_turned) in _base_parameters(model).items()
    }


def _base_parameters(model: nn.Module) -> dict[str, tuple[Tensor, bool]]:
    """Return the parameters of the base by name, and whether each is kept transposed."""
    assert isinstance(model, PreTrainedModel)
    kind: Any = type(model)
    shapes = _shapes_of_base(kind, model.config.to_json_string())
    found: dict[str, tuple[int, bool, Tensor, bool]] = {}
    for path, parameter in model.named_parameters():
        for name, distance in _names_without_wrappers(path):
            shape, in_conv1d = shapes.get(name, (None, False))
            is_turned = in_conv1d and isinstance(
                model.get_submodule(path.rpartition(".")[0]), nn.Linear
            )
            if shape == (parameter.shape[::-1] if is_turned else parameter.shape):
                candidate = distance, parameter.requires_grad, parameter, is_turned
                if name not in found or candidate[:2] < found[name][:2]:
                    found[name] = candidate
                break
    return {name: found[name][2:] for name in shapes if name in found}


def trained_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return all that a trained model has and its base has not: `adapter_tensors`, trained weights.

    Tensors of the base have the names that they have there.
    """
    trained = {name: t for name, t in base_tensors(model).items() if t.requires_grad}
    return adapter_tensors(model) | trained


def _names_without_wrappers(path: str) -> Iterator[tuple[str, int]]:
    """Yield what a parameter may be called in the base: its path, without parts in its middle.

    Modules around those of the base put parts into a path. Fewest left out come first, with how
    many these are.
    """
    *parts, leaf = path.split(".")
    yield path, 0
    for count in range(1, len(parts)):
        for start in range(1, len(parts) - count + 1):
            yield ".".join([*parts[:start], *parts[start + count :], leaf]), count


@cache
def _shapes_of_base(kind: Any, config: str) -> dict[str, tuple[torch.Size, bool]]:
    """Return the shape of each parameter of a model as its class makes it from its config.

    And whether it is the weight of a `Conv1D`.
    """
    with empty_modules():
        model = kind(kind.config_class.from_dict(json.loads(config)))
    return {
        name: (parameter.shape, parameter.dim() == 2 and _is_in_conv1d(model, name))
        for name, parameter in model.named_parameters()
    }


def _is_in_conv1d(model: nn.Module, name: str) -> bool:
    return isinstance(model.get_submodule(name.rpartition(".")[0]), Conv1D)


def _persistent_buffers(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for path, module in model.named_modules():
        for leaf, buffer in module.named_buffers(recurse=False):
            if leaf not in module._non_persistent_buffers_set:
                yield f"{path}.{leaf}", buffer


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
