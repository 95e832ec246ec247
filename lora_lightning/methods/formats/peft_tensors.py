"""How PEFT lays out the tensors of an adapter, and how ours come from it.

PEFT has no LoRA on slices of a fused projection. The same update is a PEFT LoRA on the whole
projection: with S adapted slices, of rank S·rank, its B zero wherever the A of one slice would meet
the outputs of another. DoRA's magnitudes are there for the whole projection, too: where B is zero
they are the norms of the base's weights, which leaves those outputs as they are.
"""

from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from lora_lightning.errors import InputError
from lora_lightning.gpt2.tensor_file import require_same_tensors
from lora_lightning.gpt2.weights import model_name
from lora_lightning.methods.biases import Bias, trained_biases
from lora_lightning.methods.dora import DoRALayer
from lora_lightning.methods.formats.weights import Weights
from lora_lightning.methods.inject import lora_layers
from lora_lightning.methods.lora import LoRALayer

PREFIX = "base_model.model."
WRAPPED_BIAS = ".base_layer.bias"
NORM_TOLERANCE = 1e-2
"""How far norms of one weight may differ, relatively: it may be kept in float32 or in bfloat16."""


def peft_tensors(model: PreTrainedModel, bias: Bias) -> dict[str, Tensor]:
    """Return the adapter of `model`, unmerged, in PEFT's shapes and under our names.

    A (S·rank, in) and B (out, S·rank) of every layer, the magnitudes (out,) of a DoRA, and the
    biases that are trained.
    """
    tensors: dict[str, Tensor] = {}
    for name, layer in lora_layers(model).items():
        tensors[f"{name}.lora_A"] = layer.lora_A
        tensors[f"{name}.lora_B"] = layer.expansion().T
        if isinstance(layer, DoRALayer):
            tensors[f"{name}.lora_magnitude_vector"] = layer.magnitude()
    return tensors | trained_biases(model, bias)


def file_name(name: str, model: PreTrainedModel) -> str:
    """Return PEFT's name for what `peft_tensors` calls `name`."""
    module, _, leaf = name.rpartition(".")
    if leaf in ("lora_A", "lora_B"):
        return f"{PREFIX}{name}.weight"
    if leaf == "bias" and module in lora_layers(model):
        return f"{PREFIX}{module}{WRAPPED_BIAS}"
    return f"{PREFIX}{name}"


def our_name(name: str, model: PreTrainedModel) -> str:
    """Return our name for a tensor of PEFT's file."""
    name = name.removeprefix(PREFIX).removesuffix(".weight").replace(WRAPPED_BIAS, ".bias")
    return model_name(name, model)


def restack(
    found: dict[str, Tensor], model: PreTrainedModel, bias: Bias, path: Path, hint: str
) -> Weights:
    """Turn the tensors of PEFT's file, under our names, into those of `model`.

    Args:
        found: what the file holds.
        model: ready to take them, its adapters unmerged.
        bias: which biases have to be there.
        path: the file, for the error.
        hint: overrides that would fit the file, for the error.

    Raises:
        InputError: a tensor is missing, unexpected, of another shape, or changes outputs that
            `model` does not adapt.
    """
    require_same_tensors(peft_tensors(model, bias), found, path)
    adapter: dict[str, Tensor] = {}
    for name, layer in lora_layers(model).items():
        adapter[f"{name}.lora_A"] = found[f"{name}.lora_A"]
        key = f"{name}.lora_B"
        adapter[key] = _stack_blocks(found[key], layer, f"{path}: tensor {key}", hint)
        if isinstance(layer, DoRALayer):
            key = f"{name}.lora_magnitude_vector"
            adapter[key] = _stack_magnitudes(found[key], layer, f"{path}: tensor {key}", hint)
    return Weights(adapter, base={name: found[name] for name in trained_biases(model, bias)})


def _stack_blocks(expanded: Tensor, layer: LoRALayer, what: str, hint: str) -> Tensor:
    """Turn PEFT's B (out, S·rank) into our stacked one (S·slice_out, rank)."""
    count = len(layer.slices)
    grid = expanded.T.reshape(count, layer.rank, layer.num_slices, layer.slice_features)
    blocks = grid[list(range(count)), :, list(layer.slices)]  # (S, rank, slice_out)
    if blocks.count_nonzero() != grid.count_nonzero():
        raise InputError(f"{what} adapts more than the method.targets; set {hint}")
    return blocks.transpose(1, 2).reshape(-1, layer.rank)


def _stack_magnitudes(magnitudes: Tensor, layer: DoRALayer, what: str, hint: str) -> Tensor:
    """Turn PEFT's magnitudes (out,) into our stacked ones (S·slice_out,)."""
    stacked = layer.take_adapted(magnitudes)
    unchanged = layer.replace_adapted(layer.magnitude(), stacked)
    if not torch.allclose(magnitudes.float(), unchanged.float(), rtol=NORM_TOLERANCE, atol=0):
        raise InputError(f"{what} scales more than the method.targets; set {hint}")
    return stacked
