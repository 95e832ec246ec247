"""Computing in another precision than the frozen base is kept in."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional
from transformers.pytorch_utils import Conv1D


def compute_dtype(stored: torch.dtype, device: torch.device) -> torch.dtype:
    """Return the dtype of activations for a base whose weights are kept as `stored`.

    A CPU without matrix units multiplies bfloat16 at half the speed of float32; there the weights
    are converted as they are used, which costs a tenth of the product that follows.
    """
    if device.type == "cpu" and stored == torch.bfloat16 and not _has_matrix_units():
        return torch.float32
    return stored


def let_precisions_mix(model: nn.Module) -> None:
    """Let every `Conv1D` of `model` take inputs of another dtype than its weight has."""
    for module in model.modules():
        if type(module) is Conv1D:
            module.__class__ = MixedConv1D  # the same tensors under another forward


class MixedConv1D(Conv1D):
    """A `Conv1D` that computes in the dtype of its input."""

    def forward(self, x: Tensor) -> Tensor:
        """Project `x` (..., in) to (..., out)."""
        if x.dtype == self.weight.dtype or torch.is_autocast_enabled(x.device.type):
            return super().forward(x)
        if self.weight.requires_grad or self.bias.requires_grad:
            flat = x.reshape(-1, x.shape[-1])
            product = torch.addmm(self.bias.to(x.dtype), flat, self.weight.to(x.dtype))
            return product.view(*x.shape[:-1], -1)
        result: Tensor = _FrozenProduct.apply(x, self.weight, self.bias)
        return result


def mixed_layer_norm(norm: nn.LayerNorm, x: Tensor) -> Tensor:
    """Apply a layer norm in the dtype of `x`, whatever its own tensors have."""
    weight, bias = norm.weight.to(x.dtype), norm.bias.to(x.dtype)
    return functional.layer_norm(x, norm.normalized_shape, weight, bias, norm.eps)


class _FrozenProduct(torch.autograd.Function):
    """x W + b in the dtype of x. Autograd would keep the converted W: a whole copy of the base."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(weight)
        flat = x.reshape(-1, x.shape[-1])
        product = torch.addmm(bias.to(x.dtype), flat, weight.to(x.dtype))
        return product.view(*x.shape[:-1], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *result_grad: Tensor) -> tuple[Tensor | None, ...]:
        (weight,) = ctx.saved_tensors
        return result_grad[0] @ weight.to(result_grad[0].dtype).T, None, None


def _has_matrix_units() -> bool:
    if not hasattr(torch.cpu, "get_capabilities"):  # an older torch: suppose the common case
        return False
    return bool(torch.cpu.get_capabilities().get("amx_bf16", False))
