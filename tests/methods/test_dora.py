"""DoRA: equation, gradients, merging, and what it cannot adapt."""

import pytest
import torch
from hypothesis import given, settings
from torch import nn
from transformers.pytorch_utils import Conv1D

from lora_lightning.errors import InputError
from lora_lightning.methods.dora import DoRA, DoRALayer
from lora_lightning.methods.inject import lora_layers
from tests.methods.models import LAYERS, fresh, logits, small_gpt2


def fused(linear=False):
    """A projection of 8 features to q, k and v with random weights."""
    base = nn.Linear(8, 24) if linear else Conv1D(24, 8)
    nn.init.normal_(base.weight)
    nn.init.normal_(base.bias)
    return base


def adapted(base, **settings):
    layer = DoRALayer(base, **{"rank": 2, "alpha": 6, "slices": (0, 2), "num_slices": 3} | settings)
    nn.init.normal_(layer.lora_B, std=0.3)
    with torch.no_grad():
        layer.lora_magnitude_vector.mul_(
            torch.empty_like(layer.lora_magnitude_vector).uniform_(0.5, 2)
        )
    return layer


def columns(layer):
    """The base's weight as (in, out)."""
    weight = layer.base.weight
    return weight if isinstance(layer.base, Conv1D) else weight.T


def test_every_output_has_the_trained_length_in_the_direction_that_lora_gives():
    layer = adapted(fused())
    (a_q, a_v), (b_q, b_v) = layer.lora_A.chunk(2), layer.lora_B.chunk(2)
    m_q, m_v = layer.lora_magnitude_vector.chunk(2)
    w_q, w_k, w_v = columns(layer).chunk(3, dim=1)
    x = torch.randn(2, 5, 8)
    expected = []
    for w, a, b, m in ((w_q, a_q, b_q, m_q), (w_v, a_v, b_v, m_v)):
        direction = w + 3 * a.T @ b.T
        expected.append(x @ (m * direction / direction.norm(dim=0)))
    bias_q, bias_k, bias_v = layer.base.bias.chunk(3)
    q, k, v = layer(x).chunk(3, dim=-1)
    torch.testing.assert_close(q, expected[0] + bias_q)
    torch.testing.assert_close(v, expected[1] + bias_v)
    assert k.equal(layer.base(x)[..., 8:16])
    torch.testing.assert_close(k, x @ w_k + bias_k)


@pytest.mark.parametrize("linear", [True, False])
def test_it_starts_as_its_base_with_the_lengths_of_the_bases_weights(linear):
    layer = DoRALayer(fused(linear), 2, 6, slices=(0, 2), num_slices=3)
    lengths = columns(layer).norm(dim=0)
    torch.testing.assert_close(
        layer.lora_magnitude_vector.data, torch.cat([lengths[:8], lengths[16:]])
    )
    assert layer.gain().equal(torch.ones(24))
    x = torch.randn(3, 8)
    assert layer(x).equal(layer.base(x))
    model = small_gpt2()
    before = logits(model)
    DoRA(rank=2, alpha=6, dropout=0.1, targets=["q", "c_proj", "c_fc"]).apply(model)
    assert logits(model).equal(before)


def test_the_length_in_the_denominator_has_no_gradient():
    layer = adapted(fused(), slices=(0,), num_slices=1)
    x, out_grad = torch.randn(5, 8), torch.randn(5, 24)
    layer(x).backward(out_grad)
    a, b, m = (p.detach().clone().requires_grad_() for p in layer.adapter_parameters().values())
    direction = columns(layer) + 3 * a.T @ b.T
    gain = m / direction.norm(dim=0).detach()
    (x @ (gain * direction) + layer.base.bias).backward(out_grad)
    for parameter, expected in zip(layer.adapter_parameters().values(), (a, b, m), strict=True):
        torch.testing.assert_close(parameter.grad, expected.grad, atol=1e-5, rtol=1e-4)
    assert layer.base.weight.grad is None


def test_dropout_acts_while_training_on_all_but_the_bases_own_output():
    layer = adapted(fused(), dropout=0.5)
    x = torch.randn(64, 8)
    layer.train()
    assert not layer(x).equal(layer(x))
    assert layer(x)[:, 8:16].equal(layer.base(x)[:, 8:16])
    all_dropped = adapted(fused(), dropout=0.999999)
    torch.manual_seed(0)
    torch.testing.assert_close(all_dropped.train()(x), all_dropped.base(x))
    layer.eval()
    assert layer(x).equal(layer(x))


def test_a_slice_that_is_not_adapted_may_have_weights_of_length_zero():
    base = fused()
    base.weight.data[:, 10] = 0
    layer = adapted(base)
    assert layer(torch.randn(3, 8)).isfinite().all()
    layer.merge()
    assert base.weight.isfinite().all()


def test_outputs_without_a_direction_are_refused_and_the_model_left_alone():
    model = small_gpt2()
    model.transformer.h[1].attn.c_attn.weight.data[:, [3, 40]] = 0
    with pytest.raises(
        InputError, match=r"method\.targets: 2 output features of .*h\.1\.attn\.c_attn"
    ):
        DoRA(rank=2, alpha=6, dropout=0.0, targets=["q", "v"]).apply(model)
    assert not lora_layers(model)
    assert all(parameter.requires_grad for parameter in model.parameters())
    DoRA(rank=2, alpha=6, dropout=0.0, targets=["k"]).apply(model)


@pytest.mark.parametrize("target", ["wte", "lm_head", "wpe", "ln_1", "nothing"])
def test_what_is_no_projection_of_its_own_is_refused(target):
    with pytest.raises(InputError, match=rf"method\.targets: '{target}'"):
        fresh(DoRA(rank=2, alpha=6, dropout=0.0, targets=[target]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_base_of_low_precision_has_magnitudes_and_norms_in_fp32(dtype):
    base = fused().to(dtype)
    layer = adapted(base)
    assert {p.dtype for p in layer.adapter_parameters().values()} == {torch.float32}
    x = torch.randn(2, 5, 8).to(dtype)
    out = layer(x)
    assert out.dtype == dtype
    expected = x.float() @ (columns(layer).float() + layer.delta_weight()) + base.bias.float()
    torch.testing.assert_close(out.float(), expected, atol=0.2, rtol=0.02)
    out.float().sum().backward()
    assert all(p.grad.count_nonzero() for p in layer.adapter_parameters().values())


def test_autocast_computes_in_low_precision():
    layer = adapted(fused(), dropout=0.1)
    for mode in (True, False):
        with torch.autocast("cpu", torch.bfloat16):
            assert layer.train(mode)(torch.randn(3, 8)).dtype == torch.bfloat16


@settings(max_examples=25, deadline=None)
@given(LAYERS)
def test_merging_any_layer_equals_its_update_and_unmerging_restores_every_bit(case):
    torch.manual_seed(0)
    base = fused(linear=case["linear"]).to(case["dtype"])
    layer = adapted(base, slices=case["slices"], rank=case["rank"], alpha=case["alpha"])
    before = {name: tensor.clone() for name, tensor in base.state_dict().items()}
    x = torch.randn(3, 8).to(case["dtype"])
    unmerged, delta, magnitude = layer(x), layer.delta_weight(), layer.magnitude()

    layer.merge()
    weight = base.weight.clone()
    tolerance = {"atol": 1e-5, "rtol": 1e-5}
    if case["dtype"] != torch.float32:
        tolerance = {"atol": 0.5, "rtol": 0.05}
    torch.testing.assert_close(layer(x).float(), unmerged.float(), **tolerance)
    lengths = columns(layer).float().norm(dim=0)
    torch.testing.assert_close(lengths, magnitude, **tolerance)
    # What is merged does not change what the layer says of itself.
    assert layer.delta_weight().equal(delta)
    assert layer.magnitude().equal(magnitude)
    layer.merge()
    assert base.weight.equal(weight)

    layer.unmerge()
    for name, tensor in base.state_dict().items():
        assert tensor.equal(before[name])
    assert layer(x).equal(unmerged)
