"""GPT-2's forward pass over packed rows, up to the hidden states that have a label.

transformers' own modules do the work; only the order in which they are called stands here, because
three things are out of reach of transformers' forward: tokens without a batch dimension, a last
block that computes only what the loss will look at, and an MLP of few passes over memory.
"""

from typing import Protocol

from torch import Tensor
from transformers.models.gpt2.modeling_gpt2 import GPT2Block, GPT2Model

from lora_lightning.model.attention import RowLayout, packed_attention
from lora_lightning.model.mixed import compute_dtype, mixed_layer_norm
from lora_lightning.model.mlp import mlp


class PackedRows(RowLayout, Protocol):
    """Rows of tokens, end to end."""

    @property
    def input_ids(self) -> Tensor:
        """Token ids, (tokens,) int64."""

    @property
    def position_ids(self) -> Tensor:
        """Place of each token in its row, (tokens,) int64."""


def packed_hidden_states(model: GPT2Model, rows: PackedRows, wanted: Tensor) -> Tensor:
    """Return the final hidden states of the wanted positions.

    Equal to running the rows padded, without dropout in the base. Where nothing trainable lies
    below, autograd records nothing.

    Args:
        model: the transformer, a method applied to its projections.
        rows: the micro-batch.
        wanted: positions in the packed rows, (wanted,) int64.

    Returns:
        (wanted, width).
    """
    embedded = model.wte(rows.input_ids) + model.wpe(rows.position_ids)  # (tokens, width)
    hidden = embedded.to(compute_dtype(embedded.dtype, embedded.device))
    blocks: list[GPT2Block] = list(model.h)  # type: ignore[arg-type]
    *lower, last = blocks
    for block in lower:
        hidden = _after_attention(block, hidden, _attended(block, hidden, rows))
    # Other positions of the last block serve the wanted ones as keys and values only.
    attended = _attended(last, hidden, rows)
    hidden = _after_attention(last, hidden[wanted], attended[wanted])
    return mixed_layer_norm(model.ln_f, hidden)


def _attended(block: GPT2Block, hidden: Tensor, rows: PackedRows) -> Tensor:
    """Return what attention gathers for each token, before its output projection."""
    fused = block.attn.c_attn(mixed_layer_norm(block.ln_1, hidden))  # (tokens, 3 · width)
    return packed_attention(fused, rows, block.attn.num_heads, block.attn.scaling)


def _after_attention(block: GPT2Block, hidden: Tensor, attended: Tensor) -> Tensor:
    """Project what attention gathered, and apply the MLP; both add to the residual stream."""
    hidden = hidden + block.attn.c_proj(attended)
    return hidden + mlp(block.mlp, mixed_layer_norm(block.ln_2, hidden))
