"""A projection of the base: a `Conv1D` for everyone, however its weight is kept and multiplied."""

import copy

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from lora_lightning.gpt2.projection import (
    GPT2Projection,
    pack_for_training,
    with_own_projections,
)
from lora_lightning.methods.lora import LoRALayer

CPU = torch.device("cpu")
pytestmark = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="this build of torch has no oneDNN"
)


def random_projection(dtype=torch.float32):
    torch.manual_seed(0)
    projection = GPT2Projection(24, 16)
    nn.init.normal_(projection.weight)
    nn.init.normal_(projection.bias)
    return projection.to(dtype).requires_grad_(False)


def result_and_gradient(function, x):
    x = x.clone().requires_grad_()
    result = function(x)
    torch.manual_seed(1)
    result.backward(torch.randn(result.shape).to(result.dtype))
    return result.detach(), x.grad


def test_it_has_the_parameters_and_the_place_of_the_conv1d():
    model = nn.Sequential(Conv1D(4, 3), nn.ModuleDict({"inner": Conv1D(3, 4)}))
    parameters = dict(model.named_parameters())
    found = dict(with_own_projections(model).named_parameters())
    assert found.keys() == parameters.keys()
    assert all(found[name] is parameter for name, parameter in parameters.items())
    assert isinstance(model[0], GPT2Projection)
    assert isinstance(model[1]["inner"], GPT2Projection)
    assert isinstance(model[0], Conv1D)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(5,), (2, 3), (0,)])
def test_value_and_gradient_are_those_of_a_plain_conv1d_in_the_dtype_of_the_input(
    packed, stored, shape
):
    projection, x = random_projection(stored), torch.randn(*shape, 16)
    plain = Conv1D(24, 16)
    plain.load_state_dict(projection.float().state_dict())
    projection.to(stored)
    if packed:
        projection.pack(torch.float32)
    found = result_and_gradient(projection, x)
    assert found[0].dtype == torch.float32
    torch.testing.assert_close(found, result_and_gradient(plain, x), atol=1e-4, rtol=1e-5)


def test_a_converted_weight_is_not_kept_for_the_backward_pass():
    projection, x = random_projection(torch.bfloat16), torch.randn(5, 16, requires_grad=True)
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(saved.append, lambda tensor: tensor):
        projection(x)
    assert not any(tensor.shape == projection.weight.shape for tensor in saved)


def test_a_fused_lora_layer_computes_the_same_on_packed_weights():
    torch.manual_seed(0)
    layer = LoRALayer(random_projection(), rank=2, alpha=6, slices=(0, 2), num_slices=3)
    nn.init.normal_(layer.lora_B)
    x = torch.randn(5, 16)
    expected = result_and_gradient(layer, x)
    layer.base.pack(torch.float32)
    torch.testing.assert_close(result_and_gradient(layer, x), expected, atol=1e-4, rtol=1e-5)


def test_packed_weights_are_what_is_multiplied():
    projection, x = random_projection(), torch.randn(5, 16)
    projection.pack(torch.float32)
    with torch.autograd.profiler.profile() as profile:
        projection(x.requires_grad_()).sum().backward()
    names = [event.name for event in profile.function_events]
    assert names.count("mkldnn::_linear_pointwise") == 2
    assert "aten::addmm" not in names


def test_packed_weights_do_not_outlive_a_change_of_the_weight():
    layer = LoRALayer(random_projection(), rank=2, alpha=6)
    nn.init.normal_(layer.lora_B)
    layer.base.pack(torch.float32)
    x = torch.randn(5, 16)
    before = layer(x)
    layer.merge()
    torch.testing.assert_close(layer(x), before)
    layer.unmerge()
    torch.testing.assert_close(layer(x), before)


def test_a_packed_projection_can_be_copied():
    projection, x = random_projection(), torch.randn(5, 16)
    projection.pack(torch.float32)
    torch.testing.assert_close(copy.deepcopy(projection)(x), projection(x))


@pytest.mark.parametrize(
    ("packing", "trained", "expected"),
    [(True, False, True), ("auto", False, False), (False, False, False), (True, True, False)],
)
def test_training_packs_frozen_weights_where_it_is_told_to(packing, trained, expected):
    model = nn.Sequential(random_projection().requires_grad_(trained))
    pack_for_training(model, packing, CPU)
    assert (model[0].packed is not None) == expected


@pytest.mark.parametrize("has_matrix_units", [True, False])
def test_auto_packs_for_training_where_bfloat16_has_matrix_units(monkeypatch, has_matrix_units):
    monkeypatch.setattr("lora_lightning.gpt2.precision.has_matrix_units", lambda: has_matrix_units)
    model = nn.Sequential(random_projection().to(torch.bfloat16).requires_grad_(False))
    pack_for_training(model, "auto", CPU)
    assert (model[0].packed is not None) == has_matrix_units
