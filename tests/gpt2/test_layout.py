"""The model that decodes: the same function of the same weights, laid out for its device."""

import pytest
import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
)

from lora_lightning.gpt2 import precision
from lora_lightning.gpt2.layout import PackedProjection, lay_out, shared_copy
from lora_lightning.gpt2.projection import with_own_projections

TOKENS = torch.tensor([[5, 1, 7, 2, 9]])
SIZES = {
    "vocab_size": 30,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
}


def random_gpt2(dtype=torch.float32):
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=30, n_positions=16, n_embd=32, n_layer=2, n_head=4)
    return with_own_projections(GPT2LMHeadModel(config).to(dtype)).eval()


def decoding_copy(model, packing="auto"):
    return lay_out(shared_copy(model), packing)


def modules_of(model, kind):
    return [module for module in model.modules() if isinstance(module, kind)]


@torch.no_grad()
@pytest.mark.parametrize("packing", [True, False])
@pytest.mark.parametrize(
    "model",
    [
        random_gpt2(),
        GPT2LMHeadModel(GPT2Config(vocab_size=30, n_embd=32, n_layer=2, n_head=4)),
        LlamaForCausalLM(LlamaConfig(**SIZES)),
        GPTNeoXForCausalLM(GPTNeoXConfig(**SIZES, hidden_act="gelu_fast")),
    ],
    ids=["the base", "plain GPT-2", "Llama", "GPT-NeoX"],
)
def test_it_computes_the_same(model, packing):
    model = model.eval()
    twin = decoding_copy(model, packing)
    torch.testing.assert_close(twin(TOKENS).logits, model(TOKENS).logits)
    assert bool(modules_of(twin, PackedProjection)) == packing


def test_the_model_stays_as_it_is():
    model = random_gpt2().train()
    kinds = [type(module) for module in model.modules()]
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    twin = decoding_copy(model)
    assert model.training
    assert not twin.training
    assert [type(module) for module in model.modules()] == kinds
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())


def test_parameters_are_shared_and_projections_are_laid_out_once():
    model = random_gpt2()
    twin = decoding_copy(model)
    assert twin.transformer.wte.weight is model.transformer.wte.weight
    assert len(modules_of(twin, PackedProjection)) == 2 * 4 + 1  # four a block, and the head


@torch.no_grad()
def test_the_activation_is_part_of_the_packed_product():
    twin = decoding_copy(random_gpt2())
    with torch.autograd.profiler.profile() as profile:
        twin(TOKENS)
    names = [event.name for event in profile.function_events]
    assert names.count("mkldnn::_linear_pointwise") == 2 * 4 + 1
    assert not {"aten::tanh", "aten::gelu", "aten::addmm"} & set(names)


@torch.no_grad()
@pytest.mark.parametrize("amx", [True, False])
@pytest.mark.parametrize("packing", [True, False])
def test_bf16_weights_are_multiplied_in_the_faster_precision(monkeypatch, amx, packing):
    monkeypatch.setattr(precision, "has_matrix_units", lambda: amx)
    model = random_gpt2(torch.bfloat16)
    twin = decoding_copy(model, packing)
    assert twin.dtype == (torch.bfloat16 if amx else torch.float32)
    assert model.dtype == torch.bfloat16
    logits = twin(TOKENS).logits
    assert logits.dtype == twin.dtype
    expected = model.float()(TOKENS).logits
    torch.testing.assert_close(logits.float(), expected, atol=2e-2, rtol=2e-2)


class WithAnUpdate(torch.nn.Linear):
    """A projection's subclass, as some of PEFT's layers are."""

    def forward(self, x):
        return super().forward(x) + 1


class LooksAtWeights(torch.nn.Module):
    """A layer around a projection that does more than call it."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x) * self.inner.weight.norm()


def subclassed(block):
    width = block.attn.c_attn.nx
    block.attn.c_attn = WithAnUpdate(width, 3 * width)


def around(block):
    block.mlp.c_fc = LooksAtWeights(block.mlp.c_fc)


def hooked(block):
    block.mlp.c_fc.register_forward_hook(lambda module, inputs, output: 2 * output)
    block.mlp.act.register_forward_hook(lambda module, inputs, output: output + 1)


@torch.no_grad()
@pytest.mark.parametrize("change", [subclassed, around, hooked])
def test_what_a_method_put_there_decodes_as_it_trained(change):
    model = random_gpt2()
    before = model(TOKENS).logits
    for block in model.transformer.h:
        change(block)
    expected = model(TOKENS).logits
    assert not torch.allclose(expected, before, atol=1e-2)
    twin = decoding_copy(model, True)
    torch.testing.assert_close(twin(TOKENS).logits, expected)
    assert modules_of(twin, PackedProjection)  # the rest
