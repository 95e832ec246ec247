"""Adapter and base tensors in a file, under the model's own names."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from lora_lightning.errors import InputError
from lora_lightning.methods.base import base_tensors
from lora_lightning.methods.inject import lora_layers
from lora_lightning.methods.tensor_file import read_tensors

LORA_LEAVES = ("lora_A", "lora_B")


@dataclass(frozen=True)
class Weights:
    """What a file holds for a model.

    Attributes:
        adapter: LoRA tensors in the form and under the names of `adapter_tensors`.
        base: base tensors under the names of `base_tensors`; in an adapter file none but the
            biases that were trained with it.
    """

    adapter: dict[str, Tensor]
    base: dict[str, Tensor]


def read_weights(path: Path, model: PreTrainedModel) -> Weights:
    """Read a file with transformers' or the reference's tensor names.

    The reference puts `module.` before every name, its files for the scripts often leave out
    `transformer.`. A whole checkpoint of it also holds the causal mask as `attn.bias`, which is no
    parameter, and its tied output projection as `lm_head.decoder.weight`.

    Raises:
        InputError: the file cannot be read, has a tensor twice, an output projection that differs
            from the token embedding to which the model ties it, another vocabulary, or another
            rank.
    """
    named: dict[str, Tensor] = {}
    for stored_name, tensor in read_tensors(path).items():
        name = model_name(stored_name, model)
        if name in named:
            raise InputError(f"{path}: tensor {name} is there twice, under two prefixes")
        named[name] = tensor
    named = {name: tensor for name, tensor in named.items() if not _is_causal_mask(name, tensor)}
    adapter = {name: tensor for name, tensor in named.items() if is_lora(name)}
    base = {name: tensor for name, tensor in named.items() if not is_lora(name)}
    _drop_tied_head(base, model, path)
    _require_vocabulary(base, model, path)
    _require_rank(adapter, model, path)
    return Weights(adapter, base)


def model_name(name: str, model: PreTrainedModel) -> str:
    """Return the model's name for a tensor that a file may name with or without the prefixes."""
    name = name.removeprefix("module.").replace("lm_head.decoder.", "lm_head.")
    prefix = model.base_model_prefix
    top = {child for child, _ in model.named_children()}
    return name if name.partition(".")[0] in top else f"{prefix}.{name}"


def is_lora(name: str) -> bool:
    """Whether a tensor of a file is an adapter's, by the leaf that loralib gives it."""
    return name.rpartition(".")[2] in LORA_LEAVES


def _is_causal_mask(name: str, tensor: Tensor) -> bool:
    # The older buffer of masked scores is a single number.
    return name.endswith((".attn.bias", ".attn.masked_bias")) and tensor.dim() in (0, 4)


def _drop_tied_head(base: dict[str, Tensor], model: PreTrainedModel, path: Path) -> None:
    ours = base_tensors(model)
    embedding = _embedding_name(model)
    head = "lm_head.weight"
    if head not in base or embedding not in base or head in ours:
        return
    if not torch.equal(base.pop(head), base[embedding]):
        raise InputError(
            f"{path}: its lm_head differs from {embedding}, but the model ties the two; "
            "give a checkpoint of a model with tied embeddings"
        )


def _require_vocabulary(base: dict[str, Tensor], model: PreTrainedModel, path: Path) -> None:
    name = _embedding_name(model)
    expected = len(base_tensors(model)[name])
    if name in base and len(base[name]) != expected:
        raise InputError(
            f"{path}: {name} has a vocabulary of {len(base[name])} tokens, the model {expected}; "
            "choose the base with model.path"
        )


def _require_rank(adapter: dict[str, Tensor], model: PreTrainedModel, path: Path) -> None:
    for name, layer in lora_layers(model).items():
        tensor = adapter.get(f"{name}.lora_B")
        if tensor is None or tensor.dim() != 2:
            continue
        if (found := tensor.shape[1]) != layer.rank:
            raise InputError(
                f"{path}: tensor {name}.lora_B has rank {found}, but method.rank={layer.rank}; "
                f"set method.rank={found}"
            )


def _embedding_name(model: PreTrainedModel) -> str:
    weight = model.get_input_embeddings().weight
    return next(name for name, tensor in base_tensors(model).items() if tensor is weight)
