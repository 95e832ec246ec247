"""Initial values of A and B: those of PEFT, slice by slice, and a base that stays as it is."""

import copy

import peft
import pytest
import torch
from torch import nn

from lora_lightning.errors import InputError
from lora_lightning.methods.adapter_files import load_adapter, save_adapter
from lora_lightning.methods.base import adapter_tensors, base_tensors
from lora_lightning.methods.dora import DoRA
from lora_lightning.methods.exports import export_loralib
from lora_lightning.methods.initial import STARTED, initialise
from lora_lightning.methods.inject import adapters_merged, lora_layers
from lora_lightning.methods.lora_method import LoRA
from lora_lightning.methods.rslora import RSLoRA
from tests.methods.models import fresh, logits, refusal, same, small_gpt2

INITS = ("kaiming", "gaussian", "orthogonal", *STARTED)
WHOLE = ["mlp.c_fc", "c_proj"]
MIXED = ["q", "v", "mlp.c_fc"]


def method(init, targets=MIXED, kind=LoRA, rank=2, dropout=0.0):
    return kind(rank, 6, dropout, targets, init=init)


def moved(model, seed=1):
    """Move A and B off their start, by the same random steps for the same shapes."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for layer in lora_layers(model).values():
            layer.lora_A += 0.2 * torch.randn_like(layer.lora_A)
            layer.lora_B += 0.2 * torch.randn_like(layer.lora_B)
    return model


@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("kind", [LoRA, RSLoRA])
def test_a_model_starts_as_its_base_whatever_the_dropout(init, kind):
    model = fresh(method(init, kind=kind, dropout=0.5)).train()
    torch.testing.assert_close(logits(model), logits(small_gpt2()), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("init", INITS)
def test_the_base_stays_as_it_is(init):
    base = {name: tensor.clone() for name, tensor in base_tensors(small_gpt2()).items()}
    assert same(base_tensors(fresh(method(init))), base)


@pytest.mark.parametrize("init", STARTED)
@pytest.mark.parametrize("kind", [LoRA, RSLoRA])
def test_what_begins_in_the_weight_computes_what_pefts_does(init, kind):
    torch.manual_seed(0)
    base, x = nn.Linear(6, 9), torch.randn(4, 6)
    # PEFT transposes no Conv1D for OLoRA.
    config = peft.LoraConfig(r=2, lora_alpha=6, target_modules=["0"], init_lora_weights=init,
                             use_rslora=kind is RSLoRA)  # fmt: skip
    model = peft.get_peft_model(nn.Sequential(copy.deepcopy(base)), config)
    theirs = model.get_submodule("base_model.model.0")
    a, b = theirs.lora_A["default"].weight, theirs.lora_B["default"].weight
    ours = kind.layer_type(base, rank=2, alpha=6)
    initialise(ours, init)
    torch.testing.assert_close(ours.lora_B @ ours.lora_A, b @ a, atol=1e-5, rtol=1e-4)
    with torch.no_grad():  # singular vectors have a sign of their own
        ours.lora_A.copy_(a), ours.lora_B.copy_(b)
        step_a, step_b = torch.randn_like(a), torch.randn_like(b)
        for down, up in ((ours.lora_A, ours.lora_B), (a, b)):
            down += step_a
            up += step_b
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("init", STARTED)
def test_a_slice_begins_in_its_own_part_of_the_weight(init):
    [first, *_] = lora_layers(fresh(method(init, ["q", "v"]))).values()
    for place, position in enumerate((0, 2)):
        weight = first.slice_weight(position).T  # (out, in)
        product = (first.lora_B.view(2, 16, 2) @ first.lora_A.view(2, 2, 16))[place]
        if init == "pissa":
            u, s, v = torch.linalg.svd(weight)
            expected = u[:, :2] @ torch.diag(s[:2]) @ v[:2]
            torch.testing.assert_close(first.scale * product, expected, atol=1e-5, rtol=1e-4)
        else:
            q, r = torch.linalg.qr(weight)
            torch.testing.assert_close(product, q[:, :2] @ r[:2], atol=1e-5, rtol=1e-4)


def test_orthogonal_starts_with_b_that_is_not_zero_in_a_space_that_a_does_not_reach():
    for layer in lora_layers(fresh(method("orthogonal"))).values():
        down, up = layer.blocks()
        assert up.abs().max() > 0.01
        assert (up @ down).abs().max() < 1e-6


def test_gaussian_has_pefts_deviation():
    torch.manual_seed(0)
    layers = lora_layers(fresh(method("gaussian", ["c_fc"], rank=8), n_embd=64)).values()
    values = torch.cat([layer.lora_A.flatten() for layer in layers])
    assert values.std().item() == pytest.approx(1 / 8, rel=0.1)


@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("kind", [LoRA, RSLoRA])
def test_a_saved_adapter_is_a_plain_lora_of_peft_on_the_untouched_base(init, kind, tmp_path):
    model = moved(fresh(method(init, kind=kind)))
    save_adapter(model, method(init, kind=kind), tmp_path, "base")
    theirs = peft.PeftModel.from_pretrained(small_gpt2(), str(tmp_path))
    assert theirs.peft_config["default"].init_lora_weights is True
    torch.testing.assert_close(logits(theirs), logits(model), atol=1e-5, rtol=1e-4)
    again = fresh(method(init, kind=kind), seed=0)
    load_adapter(again, method(init, kind=kind), tmp_path)
    assert same(adapter_tensors(again), adapter_tensors(model))


@pytest.mark.parametrize("init", STARTED)
def test_merging_adds_the_difference_and_unmerging_restores_every_bit(init):
    model = moved(fresh(method(init)))
    before = {name: tensor.clone() for name, tensor in base_tensors(model).items()}
    unmerged = logits(model)
    with adapters_merged(model, merged=True):
        torch.testing.assert_close(logits(model), unmerged, atol=1e-4, rtol=1e-4)
    assert same(base_tensors(model), before)
    for layer in lora_layers(model).values():
        torch.testing.assert_close(layer.delta_norm(), layer.delta_weight().norm())


@pytest.mark.parametrize(("saved", "asked", "said"), [
    ("pissa", "kaiming", "set method.init=pissa"), ("olora", "pissa", "set method.init=olora"),
    ("kaiming", "olora", "leave out method.init"),
])  # fmt: skip
def test_an_adapter_of_another_start_is_refused(saved, asked, said, tmp_path):
    save_adapter(fresh(method(saved)), method(saved), tmp_path)
    assert said in refusal(fresh(method(asked)), method(asked), tmp_path)


def test_an_adapter_that_peft_trained_has_no_start_of_ours(tmp_path):
    config = peft.LoraConfig(r=4, lora_alpha=6, target_modules=WHOLE, fan_in_fan_out=True)
    peft.get_peft_model(small_gpt2(), config).save_pretrained(tmp_path)
    pissa = method("pissa", WHOLE)
    assert "leave out method.init" in refusal(fresh(pissa), pissa, tmp_path)


def test_loralibs_file_has_no_place_for_a_start(tmp_path):
    with pytest.raises(InputError, match=r"no place for .*start_A"):
        export_loralib(fresh(method("pissa")), tmp_path / "adapter.pt")


@pytest.mark.parametrize(("make", "said"), [
    (lambda: method("orthogonal", rank=3), "3 is odd; set an even method.rank"),
    (lambda: LoRA(2, 6, 0.0, MIXED, exceptions=[{"targets": ["c_fc"], "rank": 5}],
                  init="orthogonal"), "5 is odd"),
    (lambda: method("pissa", kind=DoRA), "method.init=pissa with method=dora"),
    (lambda: method("zeros"), "method.init=zeros: allowed is kaiming"),
])  # fmt: skip
def test_what_does_not_go_together_is_one_line(make, said):
    with pytest.raises(InputError, match=said):
        make()
