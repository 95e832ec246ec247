"""Causal attention among the tokens of each row, for rows that lie end to end.

Shapes: `tokens` counts the tokens of all rows of a micro-batch, which stand one after another
without padding; `time` is the length of one row.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


def packed_attention(fused: Tensor, lengths: Sequence[int], heads: int, scale: float) -> Tensor:
    """Let every token attend to itself and the tokens before it in its own row.

    Args:
        fused: queries, keys and values side by side, (tokens, 3 · width).
        lengths: number of tokens of each row; together `tokens`.
        heads: number of attention heads.
        scale: factor of the scores.

    Returns:
        (tokens, width).
    """
    tokens, fused_width = fused.shape
    parts = fused.view(tokens, 3, heads, fused_width // (3 * heads))
    rows = [_row_attention(row, scale) for row in parts.split(list(lengths))]
    return torch.cat(rows)


def _row_attention(row: Tensor, scale: float) -> Tensor:
    """Attend within one row: (time, 3, heads, head width) to (time, width)."""
    query, key, value = row.permute(1, 2, 0, 3).unsqueeze(1)  # each (1, heads, time, head width)
    attended = functional.scaled_dot_product_attention(
        query, key, value, is_causal=True, scale=scale
    )
    return attended[0].transpose(0, 1).flatten(1)
