"""Tensors of GPT-2 in a file, under the model's own names.

The reference puts `module.` before every name, its files for the scripts often leave out
`transformer.`. A whole checkpoint of it also holds the causal mask as `attn.bias`, which is no
parameter, and its tied output projection as `lm_head.decoder.weight`.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from lora_lightning.errors import InputError
from lora_lightning.gpt2.tensor_file import read_tensors

HEAD = "lm_head.weight"


def read_named_tensors(path: Path, model: PreTrainedModel) -> dict[str, Tensor]:
    """Read a file with transformers' or the reference's tensor names, causal masks left out.

    Raises:
        InputError: the file cannot be read, or has a tensor twice.
    """
    named: dict[str, Tensor] = {}
    for stored_name, tensor in read_tensors(path).items():
        name = model_name(stored_name, model)
        if name in named:
            raise InputError(f"{path}: tensor {name} is there twice, under two prefixes")
        named[name] = tensor
    return {name: tensor for name, tensor in named.items() if not _is_causal_mask(name, tensor)}


def unwrapped_name(name: str) -> str:
    """Return a tensor's name without the parts that DDP, FSDP and torch.compile put into it."""
    return re.sub(r"(^|(?<=\.))(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.", "",
                  name).removeprefix("module.")  # fmt: skip


def model_name(name: str, model: PreTrainedModel) -> str:
    """Return the model's name for a tensor that a file may name with or without the prefixes."""
    name = unwrapped_name(name).replace("lm_head.decoder.", "lm_head.")
    prefix = model.base_model_prefix
    top = {child for child, _ in model.named_children()}
    return name if name.partition(".")[0] in top else f"{prefix}.{name}"


def require_tied_head(
    found: dict[str, Tensor], ours: Mapping[str, Tensor], model: PreTrainedModel, path: Path
) -> None:
    """Take a tied output projection out of `found`; it is no tensor of its own in the model.

    Args:
        found: base tensors of a file; changed in place.
        ours: the model's base tensors.
        model: the model.
        path: the file, for the message.

    Raises:
        InputError: it differs from the token embedding to which the model ties it.
    """
    embedding = _embedding_name(ours, model)
    if HEAD not in found or embedding not in found or HEAD in ours:
        return
    if not torch.equal(found.pop(HEAD), found[embedding]):
        raise InputError(
            f"{path}: its lm_head differs from {embedding}, but the model ties the two; "
            "give a checkpoint of a model with tied embeddings"
        )


def require_vocabulary(
    found: Mapping[str, Tensor], ours: Mapping[str, Tensor], model: PreTrainedModel, path: Path
) -> None:
    """Check that a file's token embedding has the model's vocabulary; arguments as before.

    Raises:
        InputError: it has another one.
    """
    name = _embedding_name(ours, model)
    expected = len(ours[name])
    if name in found and len(found[name]) != expected:
        raise InputError(
            f"{path}: {name} has a vocabulary of {len(found[name])} tokens, the model {expected}; "
            "choose the base with model.path"
        )


def _is_causal_mask(name: str, tensor: Tensor) -> bool:
    # The older buffer of masked scores is a single number.
    return name.endswith((".attn.bias", ".attn.masked_bias")) and tensor.dim() in (0, 4)


def _embedding_name(ours: Mapping[str, Tensor], model: PreTrainedModel) -> str:
    weight = model.get_input_embeddings().weight
    return next(name for name, tensor in ours.items() if tensor is weight)
