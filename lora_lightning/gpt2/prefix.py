"""Trained activations that every token of a row attends to, in front of it.

With P (length, width) before a block, ln_1 and the key and value parts of its c_attn,

    K_P, V_P = c_attn(ln_1(P))_{k, v},    O = softmax(scale · Q [K_P; K]ᵀ + mask) [V_P; V]

where a token sees all of P, and itself and what stands before it in its own row.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers.models.gpt2.modeling_gpt2 import GPT2Attention

from lora_lightning.gpt2.precision import mixed_layer_norm
from lora_lightning.gpt2.rows import RowLayout

NAME = "prefix"  # of a block's attention


class Prefix(nn.Module):
    """P before one block; it stands in the block's attention under the name `prefix`.

    Args:
        activations: P at its start, (length, width) float32.
        norm: the block's ln_1.
    """

    def __init__(self, activations: Tensor, norm: nn.LayerNorm) -> None:
        super().__init__()
        self.activations = nn.Parameter(activations)
        self.norm = norm

    def keys_and_values(
        self, attention: GPT2Attention, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        """Return K_P and V_P, both (heads, length, head width).

        Args:
            attention: transformers' GPT2Attention.
            dtype: to compute in.
        """
        normed = mixed_layer_norm(self.norm, self.activations.to(dtype))
        fused = attention.c_attn(normed)  # (length, 3 · width)
        _, key, value = fused.unflatten(1, (3, attention.num_heads, -1)).permute(1, 2, 0, 3)
        return key, value


def prefix_of(attention: nn.Module) -> Prefix | None:
    """Return what stands in front of every row in a block's attention, if anything does."""
    found = getattr(attention, NAME, None)
    return found if isinstance(found, Prefix) else None


def prefixed_attention(
    fused: Tensor, key: Tensor, value: Tensor, layout: RowLayout, scale: float
) -> Tensor:
    """Attend as `packed_attention` does, and to a prefix.

    Args:
        fused: queries, keys and values, (tokens, 3 · width).
        key: of the prefix, (heads, length, head width).
        value: as `key`.
        layout: the rows.
        scale: factor of the scores.

    Returns:
        (tokens, width), in the dtype of `fused`.
    """
    heads, length, _ = key.shape
    parts = fused.unflatten(1, (3, heads, -1)).permute(1, 2, 0, 3)  # (3, heads, tokens, head width)
    rows = []
    for query, own_key, own_value in parts.split(list(layout.lengths), dim=2):
        time = query.shape[1]
        visible = query.new_ones(time, length + time, dtype=torch.bool).tril(length)
        keys, values = torch.cat([key, own_key], dim=1), torch.cat([value, own_value], dim=1)
        rows.append(scaled_dot_product_attention(query, keys, values, visible, scale=scale))
    return torch.cat(rows, dim=1).transpose(0, 1).flatten(1)
