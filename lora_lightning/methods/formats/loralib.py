"""Adapter files of the reference: loralib's tensors in torch's format."""

from pathlib import Path

import torch
from transformers import PreTrainedModel

from lora_lightning.checksum import append_checksum
from lora_lightning.files import atomic_path
from lora_lightning.gpt2.tensor_file import read_tensors
from lora_lightning.methods.base import adapter_tensors
from lora_lightning.methods.biases import Bias, trained_biases
from lora_lightning.methods.formats.weights import is_lora


def write_loralib(path: Path, model: PreTrainedModel, bias: Bias) -> None:
    """Write the adapter of `model` as the reference writes its adapter-only `model.STEP.pt`.

    Every name has the `module.` of the reference's DistributedDataParallel, because its loader
    ignores names without it. Trained biases have the base's names, as loralib has them. The file
    has no place for alpha.
    """
    tensors = adapter_tensors(model) | trained_biases(model, bias)
    state = {f"module.{name}": tensor.detach().cpu() for name, tensor in tensors.items()}
    with atomic_path(path) as temporary:
        torch.save({"model_state_dict": state}, temporary)
        append_checksum(temporary)


def find_rank(path: Path) -> int | None:
    """Return the rank of the adapter in a file with loralib's tensors, None where it has none.

    Raises:
        InputError: the file cannot be read.
    """
    tensors = read_tensors(path)
    ranks = (t.shape[1] for name, t in tensors.items() if name.endswith(".lora_B") and t.dim() == 2)
    return next(ranks, None)


def has_base(path: Path) -> bool:
    """Whether a file holds more than an adapter and biases trained with it.

    Raises:
        InputError: the file cannot be read.
    """
    return not all(is_lora(name) or name.endswith(".bias") for name in read_tensors(path))
