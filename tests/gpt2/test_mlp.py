"""The MLP as one function: transformers' values and gradients."""

import pytest
import torch
from transformers import GPT2Config
from transformers.models.gpt2.modeling_gpt2 import GPT2MLP

from lora_lightning.gpt2.mlp import mlp
from lora_lightning.gpt2.projection import with_own_projections


def frozen_mlp(**settings):
    torch.manual_seed(0)
    module = GPT2MLP(64, GPT2Config(n_embd=16, resid_pdrop=0.0, **settings))
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    return with_own_projections(module.requires_grad_(False))


def result_and_gradient(function, x):
    x = x.clone().requires_grad_()
    result = function(x)
    torch.manual_seed(1)
    result.backward(torch.randn(result.shape))
    return result.detach(), x.grad


@pytest.mark.parametrize("rows", [0, 1, 32, 75])
@pytest.mark.parametrize("activation", ["gelu_new", "gelu_pytorch_tanh", "relu"])
def test_result_and_gradient_are_transformers(rows, activation):
    module, x = frozen_mlp(activation_function=activation), torch.randn(rows, 16) * 0.7
    found = result_and_gradient(lambda x: mlp(module, x), x)
    torch.testing.assert_close(found, result_and_gradient(module, x), atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("far", [-300.0, -8.0, 0.0, 8.0, 300.0])
def test_far_from_zero_the_activation_stays_finite_and_right(far):
    module, x = frozen_mlp(), torch.full((2, 16), far)
    found = result_and_gradient(lambda x: mlp(module, x), x)
    torch.testing.assert_close(found, result_and_gradient(module, x), atol=1e-2, rtol=1e-4)


def test_a_trained_projection_gets_its_gradient():
    module, x = frozen_mlp(), torch.randn(5, 16)
    module.c_fc.bias.requires_grad_()
    mlp(module, x).sum().backward()
    found, module.c_fc.bias.grad = module.c_fc.bias.grad, None
    module(x).sum().backward()
    torch.testing.assert_close(found, module.c_fc.bias.grad)


def test_weights_in_bfloat16_are_multiplied_in_the_inputs_float32():
    module, x = frozen_mlp().bfloat16(), torch.randn(5, 16)
    found = result_and_gradient(lambda x: mlp(module, x), x)
    expected = result_and_gradient(module.float(), x)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-5)


def test_bfloat16_rounds_only_what_the_products_take_and_give():
    torch.manual_seed(0)
    module, x = frozen_mlp().bfloat16(), torch.randn(75, 16).bfloat16()
    found = result_and_gradient(lambda x: mlp(module, x), x)
    exact = result_and_gradient(module.float(), x.float())
    for one, other in zip(found, exact, strict=True):
        assert one.dtype == torch.bfloat16
        assert (one.float() - other).norm() < 0.006 * other.norm()
