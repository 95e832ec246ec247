"""How a model lies in memory while it decodes: weights shared or laid out, passes over memory few.

GPT-2's tanh GELU, five passes over memory in transformers, joins the product before it.
"""

import copy
import logging
from typing import TypeVar

from torch import Tensor, nn

from lora_lightning.gpt2.packing import PackedMatrix, Packing, packs
from lora_lightning.gpt2.precision import compute_dtype, is_plain

log = logging.getLogger(__name__)

Model = TypeVar("Model", bound=nn.Module)

ONLY_CALLS_BASE = "only_calls_base"
"""Attribute of a layer of a method that says that it calls the projection in it, and no more."""


class PackedProjection(nn.Module):
    """A projection whose weight is packed, perhaps with a GELU behind it.

    Args:
        matrix: the weight.
        bias: (out,) or None.
    """

    def __init__(self, matrix: PackedMatrix, bias: Tensor | None) -> None:
        super().__init__()
        self.matrix, self.bias, self.gelu = matrix, bias, False

    def forward(self, x: Tensor) -> Tensor:
        """Project (..., in) to (..., out)."""
        return self.matrix.product(x, self.bias, self.gelu)


def shared_copy(model: Model) -> Model:
    """Return a copy in evaluation mode that shares the parameters but none of the modules."""
    tensors = [*model.parameters(), *model.buffers()]
    return copy.deepcopy(model, {id(tensor): tensor for tensor in tensors}).eval()


def lay_out(model: Model, packing: Packing = "auto") -> Model:
    """Lay a model out for decoding on its device.

    Args:
        model: a causal language model of transformers, whose modules may change and whose
            parameters may not: see `shared_copy`.
        packing: whether projections are packed.

    Returns:
        The model, or a copy with parameters of its own where the CPU computes in another dtype.

    Raises:
        InputError: this torch cannot pack, and is told to.
    """
    parameter = next(model.parameters())
    dtype = compute_dtype(parameter.dtype, parameter.device)
    projections = _replaceable_projections(model)
    if packs(packing, [_matrix(child) for _, _, child in projections], dtype):
        for parent, name, child in projections:
            packed = PackedMatrix(_matrix(child).to(dtype))
            setattr(parent, name, PackedProjection(packed, getattr(child, "bias", None)))
    if dtype != parameter.dtype:
        log.info("this CPU has no AMX: decoding the bf16 weights in fp32, which is faster here")
        model = copy.deepcopy(model).to(dtype)
    _fuse_activations(model)
    return model


def _replaceable_projections(model: nn.Module) -> list[tuple[nn.Module, str, nn.Module]]:
    """Return parent, name and module of each projection that is called and nothing else.

    What a method put into the model may look at the weights of what it adapts, or be a projection's
    subclass with an update of its own.
    """
    from transformers.pytorch_utils import Conv1D  # where it is used: it takes long

    from lora_lightning.gpt2.projection import GPT2Projection, LinearProjection

    kinds = (nn.Linear, Conv1D, GPT2Projection, LinearProjection)
    return [
        (parent, name, child)
        for parent in model.modules()
        if _is_of_transformers(parent) or getattr(parent, ONLY_CALLS_BASE, False)
        for name, child in parent.named_children()
        if any(is_plain(child, kind) for kind in kinds)
    ]


def _is_of_transformers(module: nn.Module) -> bool:
    return type(module).__module__.partition(".")[0] == "transformers"


def _matrix(projection: nn.Module) -> Tensor:
    """Return the weight of a projection as (out, in)."""
    weight = projection.get_parameter("weight")
    return weight if isinstance(projection, nn.Linear) else weight.T  # a Conv1D has (in, out)


def _fuse_activations(model: nn.Module) -> None:
    """Let GPT-2's feed-forward layers compute their GELU in one pass, in the product if packed."""
    from transformers.activations import FastGELUActivation, GELUTanh, NewGELUActivation

    for layer in model.modules():
        activation = getattr(layer, "act", None)
        if not _is_of_transformers(layer) or not any(
            isinstance(activation, nn.Module) and is_plain(activation, kind)
            for kind in (NewGELUActivation, FastGELUActivation, GELUTanh)
        ):
            continue  # these are all the same function
        if isinstance(first := getattr(layer, "c_fc", None), PackedProjection):
            first.gelu = True
            layer.act = nn.Identity()
        else:
            layer.act = nn.GELU(approximate="tanh")
