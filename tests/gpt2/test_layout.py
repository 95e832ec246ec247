"""The model that decodes: the same function of the same weights, laid out for its device."""

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from lora_lightning.gpt2 import layout
from lora_lightning.gpt2.layout import PackedProjection, decoding_copy
from lora_lightning.methods.inject import inject_lora, merge_adapters

TOKENS = torch.tensor([[5, 1, 7, 2, 9]])


def random_gpt2(dtype=torch.float32):
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=30, n_positions=16, n_embd=32, n_layer=2, n_head=4)
    return GPT2LMHeadModel(config).to(dtype)


def modules_of(model, kind):
    return [module for module in model.modules() if isinstance(module, kind)]


@torch.no_grad()
def test_it_computes_the_same():
    model = random_gpt2().eval()
    torch.testing.assert_close(decoding_copy(model)(TOKENS).logits, model(TOKENS).logits)


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
def test_merged_adapters_cost_nothing():
    model = random_gpt2().eval()
    inject_lora(model, rank=2, alpha=8, dropout=0.0, targets=["q", "v"])
    torch.nn.init.normal_(model.transformer.h[0].attn.c_attn.lora_B)
    merge_adapters(model)
    torch.testing.assert_close(decoding_copy(model)(TOKENS).logits, model(TOKENS).logits)


@torch.no_grad()
@pytest.mark.parametrize("amx", [True, False])
def test_bf16_weights_are_multiplied_in_the_faster_precision(monkeypatch, amx):
    monkeypatch.setattr(layout, "has_amx", lambda: amx)
    model = random_gpt2(torch.bfloat16).eval()
    twin = decoding_copy(model)
    assert twin.dtype == (torch.bfloat16 if amx else torch.float32)
    assert model.dtype == torch.bfloat16
    logits = twin(TOKENS).logits.float()
    torch.testing.assert_close(logits, model.float()(TOKENS).logits, atol=2e-2, rtol=2e-2)
