"""Attention over packed rows: the same in every implementation."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional
from torch.nn.attention.flex_attention import flex_attention as eager_flex_attention

from lora_lightning.gpt2 import gpu_attention
from lora_lightning.gpt2.attention import packed_attention
from lora_lightning.gpt2.gpu_attention import flex_attention

HEADS, HEAD_WIDTH, SCALE = 2, 16, 0.3
LENGTHS = st.lists(st.integers(1, 12), min_size=1, max_size=5)


def layout_of(lengths):
    ends = torch.tensor([0, *torch.tensor(lengths).cumsum(0).tolist()], dtype=torch.int32)
    return SimpleNamespace(lengths=tuple(lengths), boundaries=ends)


def masked_attention(fused, lengths):
    """All rows at once, with an explicit mask."""
    row_of = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    allowed = (row_of[:, None] == row_of) & torch.ones(len(row_of), len(row_of)).tril().bool()
    query, key, value = fused.view(len(fused), 3, HEADS, HEAD_WIDTH).permute(1, 2, 0, 3)
    attended = functional.scaled_dot_product_attention(query, key, value, allowed, scale=SCALE)
    return attended.transpose(0, 1).flatten(1)


def make(lengths, dtype=torch.float32):
    torch.manual_seed(0)
    return torch.randn(sum(lengths), 3 * HEADS * HEAD_WIDTH, dtype=dtype).requires_grad_()


@settings(max_examples=30, deadline=None)
@given(lengths=LENGTHS)
def test_result_and_gradient_are_those_of_a_block_mask(lengths):
    fused = make(lengths)
    upstream = torch.randn(len(fused), HEADS * HEAD_WIDTH)
    found = packed_attention(fused, layout_of(lengths), HEADS, SCALE)
    expected = masked_attention(fused, lengths)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        torch.autograd.grad(found, fused, upstream),
        torch.autograd.grad(expected, fused, upstream),
        atol=1e-5,
        rtol=1e-5,
    )


def test_bfloat16_comes_back_as_bfloat16():
    lengths = [3, 8]
    fused = make(lengths, torch.bfloat16)
    found = packed_attention(fused, layout_of(lengths), HEADS, SCALE)
    assert found.dtype == torch.bfloat16
    exact = masked_attention(fused.float(), lengths)
    torch.testing.assert_close(found.float(), exact, atol=0.02, rtol=0.02)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("capability", [(6, 1), (7, 0), (7, 5), (8, 0), (9, 0)])
def test_the_kernel_is_one_that_the_gpu_has(monkeypatch, capability, dtype):
    used = []

    def flash(query, *_, **__):
        used.append("flash")
        return query

    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    monkeypatch.setattr(gpu_attention, "_variable_length_kernel", lambda: flash)
    monkeypatch.setattr(gpu_attention, "_compiled_flex_attention", lambda: eager_flex_attention)
    lengths = [3, 8]
    fused = make(lengths, dtype).detach()
    found = gpu_attention.gpu_attention(fused, layout_of(lengths), HEADS, SCALE)
    assert used == (["flash"] if capability >= (8, 0) and dtype != torch.float32 else [])
    assert found.dtype == dtype
    if not used:
        expected = masked_attention(fused.float(), lengths)
        torch.testing.assert_close(found.float(), expected, atol=0.02, rtol=0.02)
    assert gpu_attention.has_gpu_kernels(torch.device("cuda")) == (capability >= (7, 0))
    assert not gpu_attention.has_gpu_kernels(torch.device("cpu"))


@pytest.mark.parametrize("lengths", [[1], [5, 1, 9], [40, 90, 20]])
def test_the_mask_for_flex_attention_is_the_same(lengths):
    fused = make(lengths).detach()
    query, key, value = fused.view(len(fused), 3, HEADS, HEAD_WIDTH).unbind(1)
    found = flex_attention(query, key, value, layout_of(lengths), SCALE, eager_flex_attention)
    torch.testing.assert_close(found, masked_attention(fused, lengths), atol=1e-5, rtol=1e-5)
