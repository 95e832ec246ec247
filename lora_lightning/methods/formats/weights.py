"""Adapter and base tensors in a file, under the model's own names."""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor
from transformers import PreTrainedModel

from lora_lightning.errors import InputError
from lora_lightning.gpt2.weights import read_named_tensors, require_tied_head, require_vocabulary
from lora_lightning.methods.base import base_tensors
from lora_lightning.methods.inject import lora_layers

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
    """Read a file with transformers' or the reference's tensor names; see `gpt2.weights`.

    Raises:
        InputError: the file cannot be read, has a tensor twice, an output projection that differs
            from the token embedding to which the model ties it, another vocabulary, or another
            rank.
    """
    named = read_named_tensors(path, model)
    adapter = {name: tensor for name, tensor in named.items() if is_lora(name)}
    base = {name: tensor for name, tensor in named.items() if not is_lora(name)}
    ours = base_tensors(model)
    require_tied_head(base, ours, model, path)
    require_vocabulary(base, ours, model, path)
    _require_rank(adapter, model, path)
    return Weights(adapter, base)


def is_lora(name: str) -> bool:
    """Whether a tensor of a file is an adapter's, by the leaf that loralib gives it."""
    return name.rpartition(".")[2] in LORA_LEAVES


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
