"""A frozen product and its low-rank update in few passes over memory, for CPUs."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lora_lightning.gpt2.projection import GPT2Projection


def adapted_product(
    x: Tensor, dropped: Tensor, base: GPT2Projection, down: Tensor, up: Tensor, scale: float
) -> Tensor:
    """Compute x W + b + s · (x̃ Aᵀ) E in the dtype of x.

    The same as one product and two thin ones, but autograd would run the thin ones in orientations
    that take three to ten times as long, and would copy the output to add the update.

    Args:
        x: (tokens, in).
        dropped: x̃, (tokens, in).
        base: W and b, frozen.
        down: A, (rank, in), float32.
        up: E, (rank, out), float32.
        scale: s.

    Returns:
        (tokens, out); differentiable once in `x`, `dropped`, `down` and `up`.
    """
    result: Tensor = _AdaptedProduct.apply(x, dropped, base, down, up, scale)
    return result


class _AdaptedProduct(torch.autograd.Function):
    """With L = A x̃ᵀ and gradient G: dx = G Wᵀ, M = s·E Gᵀ, dx̃ = Mᵀ A, dA = M x̃, dE = s·L G."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        dropped: Tensor,
        base: GPT2Projection,
        down: Tensor,
        up: Tensor,
        scale: float,
    ) -> Tensor:
        low = down.to(x.dtype) @ dropped.T  # (rank, tokens)
        product = base.product(x)
        product.addmm_(low.T, up.to(x.dtype), alpha=scale)
        ctx.save_for_backward(dropped, low, down, up)
        ctx.base, ctx.scale = base, scale
        return product

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *product_grad: Tensor) -> tuple[Tensor | None, ...]:
        dropped, low, down, up = ctx.saved_tensors
        gradient = product_grad[0]
        low_grad = (up.to(low.dtype) @ gradient.T).mul_(ctx.scale)  # (rank, tokens)
        x_grad = dropped_grad = None
        if ctx.needs_input_grad[0]:
            x_grad = ctx.base.product_back(gradient)
        if ctx.needs_input_grad[1]:
            dropped_grad = low_grad.T @ down.to(low.dtype)
        down_grad = None
        if ctx.needs_input_grad[3]:
            down_grad = (low_grad @ dropped).to(down.dtype)
        up_grad = (low @ gradient).to(up.dtype).mul_(ctx.scale)
        return x_grad, dropped_grad, None, down_grad, up_grad, None
