"""Causal attention among the tokens of each row, for rows that lie end to end.

Shapes: `tokens` counts the tokens of all rows of a micro-batch, which stand one after another
without padding; `time` is the length of one row. Queries, keys and values arrive as GPT-2's
`c_attn` leaves them, side by side.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lora_lightning.gpt2.gpu_attention import gpu_attention, has_gpu_kernels
from lora_lightning.gpt2.rows import RowLayout


def packed_attention(fused: Tensor, layout: RowLayout, heads: int, scale: float) -> Tensor:
    """Let every token attend to itself and the tokens before it in its own row.

    Args:
        fused: queries, keys and values, (tokens, 3 · width).
        layout: the rows.
        heads: number of attention heads.
        scale: factor of the scores.

    Returns:
        (tokens, width), in the dtype of `fused`.
    """
    if has_gpu_kernels(fused.device):
        return gpu_attention(fused, layout, heads, scale)
    attended: Tensor = _RowByRow.apply(fused, layout.lengths, heads, scale)
    return attended


class _RowByRow(torch.autograd.Function):
    """Attention of one row after another, for CPUs.

        P = softmax(scale · Q Kᵀ + mask)    O = P V
        dV = Pᵀ dO    dS = scale · P ∘ (dO Vᵀ - rowsum(P ∘ dO Vᵀ))    dQ = dS K    dK = dSᵀ Q

    Rows are short, so P is small enough to keep, and these products take half the time of
    `scaled_dot_product_attention` on the same slices, whose gradients autograd then has to join.
    `bmm` by name: `@` and `baddbmm` take two to three times as long for matrices of this size.
    At least in float32, converted row by row: for matrices this small bfloat16 is no faster.
    """

    @staticmethod
    def forward(
        ctx: Any, fused: Tensor, lengths: Sequence[int], heads: int, scale: float
    ) -> Tensor:
        tokens, fused_width = fused.shape
        attended = fused.new_empty(tokens, fused_width // 3)
        longest = max(lengths)
        precision = torch.promote_types(fused.dtype, torch.float32)
        mask = fused.new_full((longest, longest), float("-inf"), dtype=precision).triu(1)
        weights = []
        rows = zip(_rows(fused, 3, heads, lengths), _rows(attended, 1, heads, lengths), strict=True)
        for row, (output,) in rows:
            query, key, value = row.to(precision)  # each (heads, time, head width)
            time = query.shape[1]
            scores = torch.bmm(query, key.transpose(1, 2))
            torch.add(mask[:time, :time], scores, alpha=scale, out=scores)
            weights.append(torch.softmax(scores, dim=-1))  # (heads, time, time)
            output.copy_(torch.bmm(weights[-1], value))
        ctx.save_for_backward(fused, *weights)
        ctx.settings = lengths, heads, scale
        return attended

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *attended_grad: Tensor) -> tuple[Tensor | None, ...]:
        fused, *weights = ctx.saved_tensors
        lengths, heads, scale = ctx.settings
        precision = weights[0].dtype
        fused_grad = torch.empty_like(fused)
        rows = zip(
            weights,
            _rows(fused, 3, heads, lengths),
            _rows(attended_grad[0].contiguous(), 1, heads, lengths),
            _rows(fused_grad, 3, heads, lengths),
            strict=True,
        )
        for weight, row, row_grad, (query_grad, key_grad, value_grad) in rows:
            query, key, value = row.to(precision)
            (grad,) = row_grad.to(precision)
            value_grad.copy_(torch.bmm(weight.transpose(1, 2), grad))
            weight_grad = torch.bmm(grad, value.transpose(1, 2))
            score_grad = torch._softmax_backward_data(weight_grad, weight, -1, weight.dtype)
            score_grad *= scale
            query_grad.copy_(torch.bmm(score_grad, key))
            key_grad.copy_(torch.bmm(score_grad.transpose(1, 2), query))
        return fused_grad, None, None, None


def _rows(packed: Tensor, parts: int, heads: int, lengths: Sequence[int]) -> Iterator[Tensor]:
    """View (tokens, parts · width) as one (parts, heads, time, head width) after another."""
    by_head = packed.view(len(packed), parts, heads, -1).permute(1, 2, 0, 3)
    return iter(by_head.split(list(lengths), dim=2))
