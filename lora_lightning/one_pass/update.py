"""A frozen product over the rows of all jobs, and each job's low-rank update of its own rows."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lora_lightning.gpt2.projection import GPT2Projection


class Update(NamedTuple):
    """A job's s · (x̃ Aᵀ) E on its own rows, x̃ = mask ∘ x.

    Attributes:
        rows: which of the tokens are its.
        mask: (its tokens, in), what dropout multiplies with; None where it drops nothing.
        down: A, (rank, in), float32.
        up: E, (rank, out), float32.
        scale: s.
    """

    rows: slice
    mask: Tensor | None
    down: Tensor
    up: Tensor
    scale: float


def updated_product(x: Tensor, base: GPT2Projection, updates: Sequence[Update]) -> Tensor:
    """Compute x W + b, and add each update to its rows, in the dtype of x, for CPUs.

    As `methods.adapted_product` does for one job; `x` is read where it lies.

    Args:
        x: (tokens, in).
        base: W and b, frozen.
        updates: of rows that do not overlap.

    Returns:
        (tokens, out); differentiable once in `x` and each A and E.
    """
    trained = [tensor for update in updates for tensor in (update.down, update.up)]
    result: Tensor = _UpdatedProduct.apply(x, base, updates, *trained)
    return result


class _UpdatedProduct(torch.autograd.Function):
    """As `_AdaptedProduct`, on a job's rows: with L = A x̃ᵀ, gradient G and M = s·E Gᵀ,.

    dx = G Wᵀ + mask ∘ Mᵀ A, dA = M x̃, dE = s·L G.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, base: GPT2Projection, updates: Sequence[Update], *trained: Tensor
    ) -> Tensor:
        product = base.product(x)
        kept: list[Tensor | None] = []
        for update in updates:
            own = x[update.rows]
            dropped = own if update.mask is None else own * update.mask
            low = update.down.detach().to(x.dtype) @ dropped.T  # (rank, its tokens)
            up = update.up.detach().to(x.dtype)
            product[update.rows].addmm_(low.T, up, alpha=update.scale)
            kept += [update.mask, dropped, low]  # all of it, so that a checkpoint can drop it
        ctx.save_for_backward(*trained, *kept)
        ctx.base = base
        ctx.updates = [(update.rows, update.scale) for update in updates]
        return product

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *product_grad: Tensor) -> tuple[Tensor | None, ...]:
        [gradient] = product_grad
        saved, count = ctx.saved_tensors, 2 * len(ctx.updates)
        trained, kept = saved[:count], saved[count:]
        x_grad = ctx.base.product_back(gradient) if ctx.needs_input_grad[0] else None
        grads: list[Tensor] = []
        for number, (rows, scale) in enumerate(ctx.updates):
            down, up = trained[2 * number : 2 * number + 2]
            mask, dropped, low = kept[3 * number : 3 * number + 3]
            own = gradient[rows]
            low_grad = (up.to(low.dtype) @ own.T).mul_(scale)  # (rank, its tokens)
            if x_grad is not None and mask is None:
                x_grad[rows].addmm_(low_grad.T, down.to(low.dtype))
            elif x_grad is not None:
                x_grad[rows].addcmul_(low_grad.T @ down.to(low.dtype), mask)
            grads.append((low_grad @ dropped).to(down.dtype))
            grads.append((low @ own).to(up.dtype).mul_(scale))
        return x_grad, None, None, *grads
