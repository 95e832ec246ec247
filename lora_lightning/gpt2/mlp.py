"""GPT-2's MLP: two projections with gelu_new, GELU by a hyperbolic tangent, between them."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional
from transformers.activations import NewGELUActivation
from transformers.models.gpt2.modeling_gpt2 import GPT2MLP

from lora_lightning.gpt2.precision import is_plain
from lora_lightning.gpt2.projection import GPT2Projection

TOKENS_AT_ONCE = 32
"""So few that what the activation computes on the way stays in a core's second-level cache."""

DTYPES = (torch.float32, torch.bfloat16)
SLOPE = 2 * math.sqrt(2 / math.pi)
CUBIC = 0.044715


def mlp(module: GPT2MLP, x: Tensor) -> Tensor:
    """Compute c_proj(gelu_new(c_fc(x))), (tokens, width)."""
    if not is_plain(module, GPT2MLP):  # a method put something around it
        return module(x)
    if not isinstance(module.act, NewGELUActivation):
        return module.c_proj(module.act(module.c_fc(x)))
    if x.device.type == "cpu" and x.dtype in DTYPES and _is_frozen(module):
        result: Tensor = _FrozenMLP.apply(x, module.c_fc, module.c_proj)
        return result
    # transformers spells the activation out in eight operations.
    return module.c_proj(functional.gelu(module.c_fc(x), approximate="tanh"))


def _is_frozen(module: GPT2MLP) -> bool:
    projections = (module.c_fc, module.c_proj)
    return all(is_plain(p, GPT2Projection) for p in projections) and not any(
        parameter.requires_grad for parameter in module.parameters()
    )


class _FrozenMLP(torch.autograd.Function):
    """The whole MLP on a CPU, where passes over its four times wider inner tensor count.

    With z = SLOPE·(u + CUBIC·u³), u = x W₁ + b₁ and σ the logistic function, gelu_new is

        u·(1 + tanh(z/2)) / 2 = u·σ(z),    its derivative σ(z) + σ(z)(1 - σ(z))·(3z - 2·SLOPE·u)

    The derivative is made on the way and kept in place of u, so that the backward pass is a
    product; torch's kernels for the tanh form take half as long again. In float32 between the
    products, whatever their dtype.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, up: GPT2Projection, down: GPT2Projection) -> Tensor:
        inner = up.product(x, with_bias=False)  # (tokens, 4 · width)
        activated, bias = torch.empty_like(inner), up.bias.float()
        parts = (tensor.split(TOKENS_AT_ONCE) for tensor in (inner, activated))
        for part, result in zip(*parts, strict=True):
            _activate(part, result, bias)
        ctx.save_for_backward(inner)
        ctx.up, ctx.down = up, down
        return down.product(activated)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *result_grad: Tensor) -> tuple[Tensor | None, ...]:
        (derivative,) = ctx.saved_tensors
        inner_grad = ctx.down.product_back(result_grad[0])
        inner_grad *= derivative
        return ctx.up.product_back(inner_grad), None, None


def _activate(inner: Tensor, activated: Tensor, bias: Tensor) -> None:
    """Set `activated` to gelu_new(inner + bias), and `inner` to its derivative there."""
    u = inner.float().add_(bias)
    z = torch.addcmul(torch.tensor(SLOPE), u, u, value=SLOPE * CUBIC).mul_(u)
    sigmoid = torch.sigmoid(z)
    torch.mul(u, sigmoid, out=activated)
    third = z.add_(u, alpha=-2 / 3 * SLOPE)  # of 3z - 2·SLOPE·u
    torch.ops.aten.sigmoid_backward(third, sigmoid, grad_input=third)  # σ(1 - σ)·third
    torch.add(sigmoid, third, alpha=3, out=inner)
