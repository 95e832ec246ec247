"""GPT-2's forward pass over packed rows, up to the hidden states that have a label.

transformers' own modules do the work; only the order in which they are called stands here, because
three things are out of reach of transformers' forward: tokens without a batch dimension, a last
block that computes only what the loss will look at, and an MLP of few passes over memory.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache, partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint, noop_context_fn
from transformers.models.gpt2.modeling_gpt2 import (
    GPT2Attention,
    GPT2Block,
    GPT2LMHeadModel,
    GPT2Model,
)

from lora_lightning.errors import InputError
from lora_lightning.gpt2.attention import packed_attention
from lora_lightning.gpt2.mlp import mlp
from lora_lightning.gpt2.precision import compute_dtype, is_plain, mixed_layer_norm
from lora_lightning.gpt2.prefix import prefix_of, prefixed_attention
from lora_lightning.gpt2.rows import PackedRows

Contexts = Callable[[], tuple[AbstractContextManager[None], AbstractContextManager[None]]]


@dataclass(frozen=True)
class Execution:
    """How to run the blocks; the results are the same.

    Attributes:
        gradient_checkpointing: keep only the input of each block, and compute the rest again in the
            backward pass.
        compiled: fuse what stands between the attentions with torch.compile, once for all numbers
            of tokens.
    """

    gradient_checkpointing: bool = False
    compiled: bool = False


EAGER = Execution()


def require_packable(model: GPT2LMHeadModel) -> None:
    """Check that a method changed nothing that is computed here without being called.

    Raises:
        InputError: it did; what it put there would be left out of training.
    """
    passed: dict[str, tuple[nn.Module, type[nn.Module]]] = {
        "": (model, GPT2LMHeadModel),
        "transformer": (model.transformer, GPT2Model),
        "lm_head": (model.lm_head, nn.Linear),
    }
    for number, block in enumerate(model.transformer.h):
        place = f"transformer.h.{number}"
        passed[place] = block, GPT2Block
        if type(block) is GPT2Block:
            passed[f"{place}.attn"] = block.attn, GPT2Attention
    for place, (module, kind) in passed.items():
        if not is_plain(module, kind):
            raise InputError(
                f"method: changes or hooks {place or 'the whole model'}, which training over "
                "packed rows does not call; put a layer in the place of a projection, a layer norm "
                "or an mlp instead"
            )


def blocks_of(model: GPT2Model) -> list[GPT2Block]:
    """Return the blocks of a transformer, from the first."""
    return list(model.h)  # type: ignore[arg-type]


def packed_hidden_states(
    model: GPT2Model,
    rows: PackedRows,
    wanted: Tensor,
    execution: Execution = EAGER,
    contexts: Contexts = noop_context_fn,
) -> Tensor:
    """Return the final hidden states of the wanted positions.

    Equal to running the rows padded, without dropout in the base. Where nothing trainable lies
    below, autograd records nothing.

    Args:
        model: the transformer, a method applied to its projections.
        rows: the micro-batch.
        wanted: positions in the packed rows, (wanted,) int64.
        execution: how to run the blocks.
        contexts: under gradient checkpointing called before each block, for the contexts in which
            it is computed first, and once more.

    Returns:
        (wanted, width).
    """
    embedded = model.wte(rows.input_ids) + model.wpe(rows.position_ids)  # (tokens, width)
    hidden = embedded.to(compute_dtype(embedded.dtype, embedded.device))
    blocks = blocks_of(model)
    for block in blocks:
        # Other positions of the last block serve the wanted ones as keys and values only.
        kept = wanted if block is blocks[-1] else None
        step = partial(_block, block, rows=rows, kept=kept, compiled=execution.compiled)
        if execution.gradient_checkpointing and torch.is_grad_enabled():
            hidden = checkpoint(step, hidden, use_reentrant=False, context_fn=contexts)
        else:
            hidden = step(hidden)
    return mixed_layer_norm(model.ln_f, hidden)


def block_inputs(model: GPT2Model, rows: PackedRows) -> list[Tensor]:
    """Return the activations before each block, all (tokens, width)."""
    hidden = model.wte(rows.input_ids) + model.wpe(rows.position_ids)
    inputs = []
    for block in blocks_of(model):
        inputs.append(hidden)
        hidden = _block(block, hidden, rows, kept=None, compiled=False)
    return inputs


def _block(
    block: GPT2Block, hidden: Tensor, rows: PackedRows, kept: Tensor | None, compiled: bool
) -> Tensor:
    """Run one block, (tokens, width) to (tokens, width), or to (kept, width)."""
    before, after = _before_attention, _after_attention
    if compiled:  # not the attention: the lengths of the rows differ at every step
        before, after = _compiled(before), _compiled(after)
    attention = block.attn
    fused = before(block, hidden)
    if (prefix := prefix_of(attention)) is None:
        attended = packed_attention(fused, rows, attention.num_heads, attention.scaling)
    else:
        keys_and_values = prefix.keys_and_values(attention, fused.dtype)
        attended = prefixed_attention(fused, *keys_and_values, rows, attention.scaling)
    if kept is not None:
        hidden, attended = hidden[kept], attended[kept]
    return after(block, hidden, attended)


def _before_attention(block: GPT2Block, hidden: Tensor) -> Tensor:
    """Return queries, keys and values, (tokens, 3 · width)."""
    fused: Tensor = block.attn.c_attn(mixed_layer_norm(block.ln_1, hidden))
    return fused


def _after_attention(block: GPT2Block, hidden: Tensor, attended: Tensor) -> Tensor:
    """Project what attention gathered, and apply the MLP; both add to the residual stream."""
    hidden = hidden + block.attn.c_proj(attended)
    return hidden + mlp(block.mlp, mixed_layer_norm(block.ln_2, hidden))


@cache
def _compiled(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return torch.compile(function, dynamic=True)
