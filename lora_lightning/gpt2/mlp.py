"""GPT-2's MLP: two projections with gelu_new, GELU by a hyperbolic tangent, between them."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional
from transformers.activations import NewGELUActivation
from transformers.models.gpt2.modeling_gpt2 import GPT2MLP
from transformers.pytorch_utils import Conv1D

TOKENS_AT_ONCE = 64
"""So few that what the activation computes on the way stays in a core's second-level cache."""

SLOPE = 2 * math.sqrt(2 / math.pi)
CUBIC = 0.044715


def mlp(module: GPT2MLP, x: Tensor) -> Tensor:
    """Compute c_proj(gelu_new(c_fc(x))), (tokens, width)."""
    if not isinstance(module.act, NewGELUActivation):
        return module.c_proj(module.act(module.c_fc(x)))
    if x.dtype == torch.float32 and x.device.type == "cpu" and _is_frozen(module):
        up, down = module.c_fc, module.c_proj
        result: Tensor = _FrozenMLP.apply(x, up.weight, up.bias, down.weight, down.bias)
        return result
    # transformers spells the activation out in eight operations.
    return module.c_proj(functional.gelu(module.c_fc(x), approximate="tanh"))


def _is_frozen(module: GPT2MLP) -> bool:
    projections = (module.c_fc, module.c_proj)
    return all(isinstance(p, Conv1D) for p in projections) and not any(
        parameter.requires_grad for parameter in module.parameters()
    )


class _FrozenMLP(torch.autograd.Function):
    """The whole MLP on a CPU in float32, where passes over its four times wider inner tensor count.

    With z = SLOPE·(u + CUBIC·u³), u = x W₁ + b₁ and σ the logistic function, gelu_new is

        u·(1 + tanh(z/2)) / 2 = u·σ(z),    its derivative σ(z) + σ(z)(1 - σ(z))·(3z - 2·SLOPE·u)

    The derivative is made on the way and kept in place of u, so that the backward pass is a
    product; torch's kernels for the tanh form take half as long again.
    Weights of another dtype are converted as they are used, and no copy of them is kept.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, up: Tensor, up_bias: Tensor, down: Tensor, down_bias: Tensor
    ) -> Tensor:
        inner = x @ up.to(x.dtype)  # (tokens, 4 · width)
        activated, bias = torch.empty_like(inner), up_bias.to(x.dtype)
        for part in zip(inner.split(TOKENS_AT_ONCE), activated.split(TOKENS_AT_ONCE), strict=True):
            _activate(*part, bias)
        ctx.save_for_backward(inner, up, down)
        return torch.addmm(down_bias.to(x.dtype), activated, down.to(x.dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *result_grad: Tensor) -> tuple[Tensor | None, ...]:
        derivative, up, down = ctx.saved_tensors
        inner_grad = result_grad[0] @ down.to(derivative.dtype).T
        inner_grad *= derivative
        return inner_grad @ up.to(derivative.dtype).T, None, None, None, None


def _activate(inner: Tensor, activated: Tensor, bias: Tensor) -> None:
    """Set `activated` to gelu_new(inner + bias), and `inner` to its derivative there."""
    u = inner.add_(bias)
    z = torch.addcmul(torch.tensor(SLOPE), u, u, value=SLOPE * CUBIC).mul_(u)
    sigmoid = torch.sigmoid(z)
    torch.mul(u, sigmoid, out=activated)
    third = z.add_(u, alpha=-2 / 3 * SLOPE)  # of 3z - 2·SLOPE·u
    curved = torch.ops.aten.sigmoid_backward(third, sigmoid)  # σ(1 - σ)·third
    torch.add(sigmoid, curved, alpha=3, out=inner)
