"""One adapted projection: equation, initialisation, merging."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from safetensors.torch import load_file
from torch import nn
from transformers.pytorch_utils import Conv1D

from lora_lightning.gpt2.projection import GPT2Projection
from lora_lightning.methods.lora import LoRALayer
from tests.goldens import golden
from tests.methods.models import LAYERS

FIXTURE = Path(__file__).parent / "fixtures" / "layer.safetensors"


class GivenMask(nn.Module):
    """Dropout with a mask that is known."""

    def __init__(self, mask: torch.Tensor):
        super().__init__()
        self.mask = mask

    def forward(self, x):
        return x * self.mask


def fused(linear=False):
    """A projection of 8 features to q, k and v with random weights."""
    base = nn.Linear(8, 24) if linear else GPT2Projection(24, 8)
    nn.init.normal_(base.weight)
    nn.init.normal_(base.bias)
    return base


def adapted(base, **settings):
    layer = LoRALayer(base, **{"rank": 2, "alpha": 6, "slices": (0, 2), "num_slices": 3} | settings)
    nn.init.normal_(layer.lora_B)
    return layer


@pytest.fixture(params=["fixture", "golden"])
def reference(request):
    path = FIXTURE if request.param == "fixture" else golden("lora", "layer.safetensors")
    return load_file(path)


@pytest.fixture
def reference_layer(reference):
    base = GPT2Projection(48, 16)
    base.load_state_dict({"weight": reference["weight"], "bias": reference["bias"]})
    layer = LoRALayer(base, rank=4, alpha=12, dropout=0.25, slices=(0, 2), num_slices=3)
    layer.load_state_dict({"lora_A": reference["lora_A"], "lora_B": reference["lora_B"]}, False)
    return layer


def test_output_equals_the_reference(reference, reference_layer):
    out = reference_layer.eval()(reference["x"])
    torch.testing.assert_close(out, reference["out_eval"], atol=1e-5, rtol=0)


def test_delta_weight_equals_the_reference(reference, reference_layer):
    torch.testing.assert_close(
        reference_layer.delta_weight(), reference["delta_weight"], atol=1e-6, rtol=0
    )


def test_dropped_output_and_gradients_equal_the_reference(reference, reference_layer):
    # Where x is 0 the mask does not matter.
    mask = torch.nan_to_num(reference["x_dropped"] / reference["x"])
    reference_layer.dropout = GivenMask(mask)
    out = reference_layer.train()(reference["x"])
    torch.testing.assert_close(out, reference["out_train"], atol=1e-5, rtol=0)
    out.backward(reference["out_grad"])
    for name, found in [("grad_A", reference_layer.lora_A), ("grad_B", reference_layer.lora_B)]:
        torch.testing.assert_close(found.grad, reference[name], atol=1e-5, rtol=0)
    assert reference_layer.base.weight.grad is None
    assert reference_layer.base.bias.grad is None


def test_a_fused_layer_equals_three_separate_layers():
    layer = adapted(fused())
    x = torch.randn(2, 5, 8)
    q, k, v = layer(x).chunk(3, dim=-1)
    base_q, base_k, base_v = layer.base(x).chunk(3, dim=-1)
    (a_q, a_v), (b_q, b_v) = layer.lora_A.chunk(2), layer.lora_B.chunk(2)
    torch.testing.assert_close(q, base_q + 3 * (x @ a_q.T) @ b_q.T)
    torch.testing.assert_close(v, base_v + 3 * (x @ a_v.T) @ b_v.T)
    assert k.equal(base_k)


def test_one_dropout_mask_serves_all_slices():
    layer = adapted(fused(), dropout=0.5)
    with torch.no_grad():
        layer.lora_A[2:] = layer.lora_A[:2]
        layer.lora_B[8:] = layer.lora_B[:8]
        nn.init.zeros_(layer.base.weight)
        nn.init.zeros_(layer.base.bias)
    q, _, v = layer.train()(torch.randn(4, 8)).chunk(3, dim=-1)
    assert q.equal(v)


def test_dropout_acts_on_the_update_only_and_while_training_only():
    layer = adapted(fused(), dropout=0.5)
    x = torch.randn(64, 8)
    layer.train()
    assert layer(x)[:, 8:16].equal(layer.base(x)[:, 8:16])
    assert not layer(x).equal(layer(x))
    layer.eval()
    assert layer(x).equal(layer(x))


def test_the_update_starts_at_zero_with_a_in_the_bounds_of_the_reference():
    layer = LoRALayer(Conv1D(3 * 64, 64), 8, 32, slices=(0, 2), num_slices=3)
    assert layer.lora_A.shape == (16, 64)
    assert layer.lora_B.shape == (128, 8)
    assert layer.lora_B.count_nonzero() == 0
    bound = 1 / 64**0.5
    assert 0.98 * bound < layer.lora_A.abs().max() <= bound
    # Uniform, not only bounded: its standard deviation is bound / √3.
    assert layer.lora_A.std().item() == pytest.approx(bound / 3**0.5, rel=0.05)
    x = torch.randn(3, 64)
    assert layer(x).equal(layer.base(x))


def test_slices_that_are_not_adapted_have_no_parameters():
    def count(slices):
        layer = LoRALayer(fused(), 2, 6, slices=slices, num_slices=3)
        return sum(p.numel() for p in layer.parameters() if p.requires_grad)

    assert count((1,)) == 2 * (8 + 8)
    assert count((0, 2)) == 2 * count((1,))
    assert count((0, 1, 2)) == 3 * count((1,))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_base_of_low_precision_has_an_update_in_fp32(dtype):
    base = fused().to(dtype)
    layer = adapted(base)
    assert layer.lora_A.dtype == layer.lora_B.dtype == torch.float32
    x = torch.randn(2, 5, 8).to(dtype)
    out = layer(x)
    assert out.dtype == dtype
    exact = adapted(fused()).float()
    exact.base.load_state_dict({k: t.float() for k, t in base.state_dict().items()})
    exact.load_state_dict({"lora_A": layer.lora_A, "lora_B": layer.lora_B}, strict=False)
    torch.testing.assert_close(out.float(), exact(x.float()), atol=0.3, rtol=0.02)
    out.float().sum().backward()
    assert layer.lora_A.grad.dtype == torch.float32
    assert layer.lora_A.grad.count_nonzero() > 0


def test_autocast_computes_in_low_precision_and_leaves_parameters_in_fp32():
    layer = adapted(fused())
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(torch.randn(3, 8))
    assert out.dtype == torch.bfloat16
    out.float().sum().backward()
    assert layer.lora_B.grad.dtype == torch.float32


def test_merging_happens_in_fp32():
    base = fused().to(torch.bfloat16)
    layer = adapted(base)
    expected = (base.weight.float() + layer.delta_weight()).to(torch.bfloat16)
    layer.merge()
    assert base.weight.equal(expected)


def test_train_and_eval_do_not_merge():
    layer = adapted(fused())
    before = layer.base.weight.clone()
    for _ in range(2):
        layer.eval()
        layer.train()
    assert layer.base.weight.equal(before)
    assert not layer.merged


def test_a_merged_layer_is_its_base():
    layer = adapted(fused())
    layer.merge()
    x = torch.randn(3, 8)
    assert layer(x).equal(layer.base(x))
    assert [name for name, _ in layer.state_dict().items()] == [
        "lora_A",
        "lora_B",
        "base.weight",
        "base.bias",
    ]


@settings(max_examples=25, deadline=None)
@given(LAYERS)
def test_merging_any_layer_equals_its_update_and_unmerging_restores_every_bit(case):
    torch.manual_seed(0)
    base = fused(linear=case["linear"]).to(case["dtype"])
    layer = adapted(base, slices=case["slices"], rank=case["rank"], alpha=case["alpha"])
    nn.init.normal_(layer.lora_B, std=0.1)
    before = {name: tensor.clone() for name, tensor in base.state_dict().items()}
    x = torch.randn(3, 8).to(case["dtype"])
    unmerged = layer(x)
    delta = layer.delta_weight()
    assert delta.shape == base.weight.shape

    layer.merge()
    merged = layer(x)
    weight = base.weight.clone()
    layer.merge()
    assert base.weight.equal(weight)
    if case["dtype"] == torch.float32:
        torch.testing.assert_close(merged, unmerged, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(weight - before["weight"], delta, atol=1e-5, rtol=1e-5)
    else:
        torch.testing.assert_close(merged.float(), unmerged.float(), atol=0.5, rtol=0.05)

    layer.unmerge()
    layer.unmerge()
    for name, tensor in base.state_dict().items():
        assert tensor.equal(before[name])
    assert layer(x).equal(unmerged)
