"""A copy of a model for decoding: it shares the weights, and runs faster on its device.

On a CPU oneDNN wants weights in a layout of its own; given plain ones it rearranges them at every
call, which with few rows takes as long as the product. So they are laid out once. GPT-2's tanh
GELU, five passes over memory in transformers, joins the product before it.
"""

import copy
import logging
from typing import TypeVar

import torch
from torch import Tensor, nn

log = logging.getLogger(__name__)

Model = TypeVar("Model", bound=nn.Module)

TANH_GELUS = ("NewGELUActivation", "FastGELUActivation", "GELUTanh")  # all the same function
ROWS = 160  # rows that the layout is chosen for; it serves any number


class PackedProjection(nn.Module):
    """A projection whose weight lies as oneDNN wants it, perhaps with a GELU behind it.

    Args:
        weight: (out, in).
        bias: (out,) or None.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), ROWS)
        self.bias = bias
        self.activation: tuple[str, list[float], str] = ("none", [], "")

    def forward(self, x: Tensor) -> Tensor:
        """Project (..., in) to (..., out)."""
        return torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, *self.activation)


def decoding_copy(model: Model) -> Model:
    """Return a copy in evaluation mode that shares the parameters but none of the modules.

    A bf16 model on a CPU without AMX becomes fp32, with parameters of its own: there bf16 products
    are slower than fp32 ones (half the rate on a Xeon of 2023).

    Args:
        model: a model of transformers, adapters merged. It stays as it is.
    """
    on_cpu = next(model.parameters()).device.type == "cpu"
    if on_cpu and next(model.parameters()).dtype == torch.bfloat16 and not has_amx():
        log.info("this CPU has no AMX: decoding the bf16 weights in fp32, which is faster here")
        twin = copy.deepcopy(model).float()
    else:
        tensors = [*model.parameters(), *model.buffers()]
        twin = copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})
    if on_cpu and torch.backends.mkldnn.is_available():
        _pack_projections(twin)
    _fuse_activations(twin)
    return twin.eval()


def has_amx() -> bool:
    """Whether the CPU multiplies bf16 matrices in hardware."""
    return torch.cpu._is_amx_tile_supported()


def _pack_projections(model: nn.Module) -> None:
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear):
                setattr(parent, name, PackedProjection(child.weight, child.bias))
            elif type(child).__name__ == "Conv1D":
                weight = child.get_parameter("weight").T  # it has (in, out)
                setattr(parent, name, PackedProjection(weight, child.get_parameter("bias")))


def _fuse_activations(model: nn.Module) -> None:
    """Let GPT-2's feed-forward layers compute their GELU in one pass, in the product if packed."""
    for layer in model.modules():
        if type(getattr(layer, "act", None)).__name__ not in TANH_GELUS:
            continue
        if isinstance(first := getattr(layer, "c_fc", None), PackedProjection):
            first.activation = ("gelu", [], "tanh")
            layer.act = nn.Identity()
        else:
            layer.act = nn.GELU(approximate="tanh")
