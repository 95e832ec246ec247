"""Weights laid out for the CPU's products: which are, and what a packed one is.

oneDNN wants a matrix in a layout of its own; given a plain one it rearranges it at every call,
which with few rows takes as long as the product.
"""

import logging
from collections.abc import Sequence
from typing import Any, Literal

import psutil
import torch
from torch import Tensor

from lora_lightning.errors import InputError

log = logging.getLogger(__name__)

Packing = Literal["auto"] | bool
"""`model.packed`: whether weights are packed."""

ROWS = 160  # rows that the layout is chosen for; it serves any number
DTYPES = (torch.float32, torch.bfloat16)
FREE_SHARE = 0.5
"""The share of the free memory that `auto` may take; caches and logits come on top."""


class PackedMatrix:
    """A matrix W as oneDNN wants it. It is a copy, and does not follow what becomes of W.

    Args:
        weight: Wᵀ, (out, in), on the CPU.
    """

    def __init__(self, weight: Tensor) -> None:
        self.dtype = weight.dtype
        plain = weight.detach().contiguous()
        self.packed = torch.ops.mkldnn._reorder_linear_weight(plain, ROWS)

    def product(self, x: Tensor, bias: Tensor | None = None, gelu: bool = False) -> Tensor:
        """Compute x W + bias, and gelu_new of it in the same pass if asked.

        Args:
            x: (..., in), of the dtype of W, as is the bias.
            bias: (out,) or None.
            gelu: whether the activation follows.

        Returns:
            (..., out), without a gradient.
        """
        name, algorithm = ("gelu", "tanh") if gelu else ("none", "")
        return torch.ops.mkldnn._linear_pointwise(x, self.packed, bias, name, [], algorithm)

    def __deepcopy__(self, memo: dict[int, Any]) -> "PackedMatrix":
        """Return itself: nothing changes it."""
        return self


def packs(packing: Packing, weights: Sequence[Tensor], dtype: torch.dtype, copies: int = 1) -> bool:
    """Decide whether weights are packed, and say once what memory that takes.

    Args:
        packing: `auto` packs where there is memory for it.
        weights: on one device.
        dtype: what they are multiplied in.
        copies: packed copies of each weight.

    Raises:
        InputError: this torch cannot pack, and is told to.
    """
    if packing is False or not weights or weights[0].device.type != "cpu" or dtype not in DTYPES:
        return False
    if not torch.backends.mkldnn.is_available():
        if packing is True:
            raise InputError(
                "model.packed=true: this build of torch has no oneDNN, which packed weights are "
                "for; set model.packed=auto"
            )
        return False
    needed = copies * dtype.itemsize * sum(weight.numel() for weight in weights)
    free = psutil.virtual_memory().available
    if packing == "auto" and needed > FREE_SHARE * free:
        log.info(
            "packed        no: laying the weights out for this CPU takes %.1f MB, of %.1f MB free; "
            "model.packed=true does it all the same",
            *(size / 1e6 for size in (needed, free)),
        )
        return False
    log.info("packed        weights laid out for this CPU, %.1f MB", needed / 1e6)
    return True
