"""Attention over packed rows on a GPU: one kernel for all rows, whatever their lengths."""

import inspect
from functools import cache
from typing import Any

import torch
from torch import Tensor

from lora_lightning.gpt2.rows import RowLayout

HALF = (torch.float16, torch.bfloat16)
# Compute capabilities, (major, minor).
FLASH = (8, 0)  # Ampere: the oldest with flash attention, and with bfloat16 in hardware
COMPILED = (7, 0)  # Volta: the oldest that torch.compile makes kernels for


def gpu_attention(fused: Tensor, layout: RowLayout, heads: int, scale: float) -> Tensor:
    """Attend as `packed_attention` describes, without asking the GPU for anything.

    The variable-length flash kernel takes half precision only; float32 goes through flex
    attention, as does everything where torch or the GPU has no such kernel.
    """
    is_recent = torch.cuda.get_device_capability(fused.device) >= FLASH
    kernel = _variable_length_kernel() if is_recent and fused.dtype in HALF else None
    dtype = fused.dtype
    if dtype == torch.bfloat16 and not is_recent:
        fused = fused.float()
    query, key, value = fused.unflatten(1, (3, heads, -1)).unbind(1)  # (tokens, heads, head width)
    if kernel is not None:
        ends, longest = layout.boundaries, max(layout.lengths)
        attended = kernel(
            query, key, value, ends, ends, longest, longest, scale=scale, window_size=(-1, 0)
        )  # a window without an end to the left and with nothing to the right is causal
        return attended.flatten(1)
    return flex_attention(query, key, value, layout, scale, _compiled_flex_attention()).to(dtype)


def has_gpu_kernels(device: torch.device) -> bool:
    """Whether `gpu_attention` runs there: on a GPU that torch.compile makes kernels for."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= COMPILED


def flex_attention(
    query: Tensor, key: Tensor, value: Tensor, layout: RowLayout, scale: float, kernel: Any
) -> Tensor:
    """Attend by a block-sparse mask: same row, not later.

    Args:
        query: (tokens, heads, head width); `key` and `value` alike.
        key: see `query`.
        value: see `query`.
        layout: the rows.
        scale: factor of the scores.
        kernel: `torch.nn.attention.flex_attention.flex_attention`, compiled or not.

    Returns:
        (tokens, width).
    """
    from torch.nn.attention.flex_attention import create_block_mask

    tokens = len(query)
    places = torch.arange(tokens, device=query.device, dtype=layout.boundaries.dtype)
    row_of = torch.bucketize(places, layout.boundaries, right=True)  # (tokens,)

    def same_row_not_later(_: Tensor, __: Tensor, asking: Tensor, asked: Tensor) -> Tensor:
        return (row_of[asking] == row_of[asked]) & (asking >= asked)

    mask = create_block_mask(same_row_not_later, None, None, tokens, tokens, device=query.device)
    batched = (tensor.transpose(0, 1).unsqueeze(0) for tensor in (query, key, value))
    attended = kernel(*batched, block_mask=mask, scale=scale)  # (1, heads, tokens, head width)
    return attended[0].transpose(0, 1).flatten(1)


@cache
def _variable_length_kernel() -> Any:
    """Return torch's variable-length attention with windows, or None where it has none."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    return varlen_attn if "window_size" in inspect.signature(varlen_attn).parameters else None


@cache
def _compiled_flex_attention() -> Any:
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention, dynamic=True)
