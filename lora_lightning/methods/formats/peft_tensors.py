"""How PEFT lays out the tensors of an adapter, and how ours come from it.

PEFT has no LoRA on slices of a fused projection. The same update is a PEFT LoRA on the whole
projection: with S adapted slices, of rank S·rank, its B zero wherever the A of one slice would meet
the outputs of another. DoRA's magnitudes are there for the whole projection, too: where B is zero
they are the norms of the base's weights, which leaves those outputs as they are.
"""

import re
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from lora_lightning.errors import InputError
from lora_lightning.gpt2.tensor_file import read_tensors, require_same_tensors
from lora_lightning.gpt2.weights import HEAD, model_name, unwrapped_name
from lora_lightning.methods.base import base_tensors
from lora_lightning.methods.biases import Bias, trained_biases
from lora_lightning.methods.dora import DoRALayer
from lora_lightning.methods.formats.peft_config import SUPPORTED
from lora_lightning.methods.formats.weights import Weights
from lora_lightning.methods.inject import lora_layers
from lora_lightning.methods.lora import LoRALayer

PREFIX = "base_model.model."
WRAPPED_BIAS = ".base_layer.bias"
LEAVES = ("lora_A", "lora_B", "lora_magnitude_vector")
MERGE = (
    "merge it into its base with PEFT's merge_and_unload, save that model and give its folder as "
    "model.path"
)
NORM_TOLERANCE = 1e-2
"""How far norms of one weight may differ, relatively: it may be kept in float32 or in bfloat16."""


def peft_tensors(model: PreTrainedModel, bias: Bias) -> dict[str, Tensor]:
    """Return the adapter of `model`, unmerged, in PEFT's shapes and under our names.

    A (S·k, in) and B (out, S·k) of every layer, k the rank or twice that, the magnitudes (out,) of
    a DoRA, and the biases that are trained.
    """
    tensors: dict[str, Tensor] = {}
    for name, layer in lora_layers(model).items():
        tensors[f"{name}.lora_A"] = layer.down()
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


def plain_name(name: str) -> str:
    """Return the name of a tensor of PEFT's file as it is in the base, with the adapter's leaf.

    A file that was not saved by PEFT itself may name the adapter: `lora_A.default.weight`.
    """
    name = unwrapped_name(name).removeprefix(PREFIX).replace(".base_layer.", ".")
    return re.sub(rf"\.({'|'.join(LEAVES)})(\.[^.]+)?(\.weight)?$", r".\1", name)


def adapted_modules(path: Path) -> dict[str, int]:
    """Return the rank of each adapted module of PEFT's file, by its name in the base.

    Raises:
        InputError: the file cannot be read, or holds no LoRA.
    """
    named = {plain_name(name): tensor for name, tensor in read_tensors(path).items()}
    ranks = {
        name.removesuffix(".lora_A"): len(tensor)
        for name, tensor in named.items()
        if name.endswith(".lora_A") and tensor.dim() == 2
    }
    if not ranks:
        raise InputError(f"{path}: holds no LoRA of a linear projection; {SUPPORTED}")
    return ranks


def read_adapter(path: Path, model: PreTrainedModel, bias: Bias) -> dict[str, Tensor]:
    """Return the tensors of PEFT's file under our names, the base's own left out.

    Raises:
        InputError: the file cannot be read, has a tensor twice, or holds what no method trains.
    """
    found: dict[str, Tensor] = {}
    for stored_name, tensor in read_tensors(path).items():
        name = model_name(plain_name(stored_name), model)
        if name in found:
            raise InputError(
                f"{path}: tensor {name} is there twice, of several adapters; save them one by one"
            )
        found[name] = tensor
    _leave_out_base(found, model, bias, path)
    return found


def _leave_out_base(
    found: dict[str, Tensor], model: PreTrainedModel, bias: Bias, path: Path
) -> None:
    """Take tensors of the base that PEFT saved beside an adapter out of `found`.

    Raises:
        InputError: one is not the base's own, or is an adapter of an embedding.
    """
    base = base_tensors(model)
    tied = {HEAD: model.get_output_embeddings().weight}
    biases = trained_biases(model, bias)
    for name in [name for name in found if name not in biases]:
        if "lora_embedding_" in name:
            raise InputError(
                f"{path}: tensor {name} adapts an embedding, which no method does; {MERGE}"
            )
        own = base.get(name, tied.get(name))
        if own is None or name.endswith(".bias"):
            continue
        tensor = found.pop(name)
        if tensor.shape != own.shape or not tensor.equal(own.to(tensor.dtype)):
            raise InputError(
                f"{path}: holds {name} {tuple(tensor.shape)}, of the base's own weights, but "
                f"trained or resized, which no method does; {MERGE}"
            )


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
        key = f"{name}.lora_B"
        up = _stack_blocks(found[key], layer, f"{path}: tensor {key}", hint)
        adapter |= _divided(name, found[f"{name}.lora_A"], up, layer)
        if isinstance(layer, DoRALayer):
            key = f"{name}.lora_magnitude_vector"
            adapter[key] = _stack_magnitudes(found[key], layer, f"{path}: tensor {key}", hint)
    return Weights(adapter, base={name: found[name] for name in trained_biases(model, bias)})


def _divided(name: str, down: Tensor, up: Tensor, layer: LoRALayer) -> dict[str, Tensor]:
    """Return the tensors of a layer from A (S·k, in) and B (S·slice_out, k) of its whole update."""
    if layer.start_A is None:
        return {f"{name}.lora_A": down, f"{name}.lora_B": up}
    [a, start_a] = down.view(len(layer.slices), 2, layer.rank, -1).unbind(1)
    b, negative = up.chunk(2, dim=1)
    tensors = {"lora_A": a.flatten(0, 1), "start_A": start_a.flatten(0, 1)}
    tensors |= {"lora_B": b, "start_B": -negative}
    return {f"{name}.{leaf}": tensor for leaf, tensor in tensors.items()}


def _stack_blocks(expanded: Tensor, layer: LoRALayer, what: str, hint: str) -> Tensor:
    """Turn PEFT's B (out, S·k) into a stacked one (S·slice_out, k)."""
    count = len(layer.slices)
    grid = expanded.T.reshape(count, -1, layer.num_slices, layer.slice_features)
    blocks = grid[list(range(count)), :, list(layer.slices)]  # (S, k, slice_out)
    if blocks.count_nonzero() != grid.count_nonzero():
        raise InputError(f"{what} adapts more than the method.targets; set {hint}")
    return blocks.transpose(1, 2).flatten(0, 1)


def _stack_magnitudes(magnitudes: Tensor, layer: DoRALayer, what: str, hint: str) -> Tensor:
    """Turn PEFT's magnitudes (out,) into our stacked ones (S·slice_out,)."""
    stacked = layer.take_adapted(magnitudes)
    unchanged = layer.replace_adapted(layer.magnitude(), stacked)
    if not torch.allclose(magnitudes.float(), unchanged.float(), rtol=NORM_TOLERANCE, atol=0):
        raise InputError(f"{what} scales more than the method.targets; set {hint}")
    return stacked
