"""Optimizers that treat A and B together: their updates are those of PEFT's, step by step."""

import peft
import pytest
import torch
from peft.optimizers import create_lorafa_optimizer, create_riemannian_optimizer, lorafa
from torch import nn
from torch.nn import Parameter

from lora_lightning.errors import InputError
from lora_lightning.training.lora_fa import LoRAFA
from lora_lightning.training.riemannian import scaled_adamw, scaled_gd
from tests.methods.models import METHODS, fresh, small_gpt2

ADAMW = {"lr": 0.01, "weight_decay": 0.1, "betas": [0.9, 0.99], "eps": 1e-6}
SGD = {"lr": 0.01, "weight_decay": 0.1, "momentum": 0.5}
SCALED = {
    "adamw": (scaled_adamw, ADAMW, torch.optim.AdamW),
    "gd": (scaled_gd, SGD, torch.optim.SGD),
}
FULL = ["c_attn", "mlp.c_proj"]


def ours_and_peft(choice, bias="none"):
    """The trained tensors of our model and of PEFT's, pairwise, equal and not zero."""
    features = {"use_dora": choice == "dora", "use_rslora": choice == "rslora", "bias": bias}
    config = peft.LoraConfig(
        r=2, lora_alpha=6, target_modules=FULL, fan_in_fan_out=True, **features
    )
    theirs = peft.get_peft_model(small_gpt2(), config)
    model = fresh(METHODS[choice](2, 6, 0.0, FULL, bias))
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    plain = {
        name.removeprefix("base_model.model.")
        .replace(".default.weight", "")
        .replace("lora_magnitude_vector.default", "lora_magnitude_vector")
        .replace(".base_layer.bias", ".base.bias"): p
        for name, p in theirs.named_parameters()
    }
    pairs = [(trained[name], plain[name.removesuffix(".weight")]) for name in trained]
    torch.manual_seed(3)
    with torch.no_grad():
        for mine, other in pairs:
            mine.normal_(std=0.3)
            other.copy_(mine)
    return model, list(trained.items()), theirs, [other for _, other in pairs]


def follow(optimizer, mine, oracle, theirs, **tolerance):
    """Step both on the same gradients, and compare every tensor after each step."""
    for step in range(4):
        torch.manual_seed(step)
        for ours, other in zip(mine, theirs, strict=True):
            ours.grad = torch.randn(ours.shape)
            other.grad = ours.grad.clone()
        optimizer.step()
        oracle.step()
        for ours, other in zip(mine, theirs, strict=True):
            torch.testing.assert_close(ours.detach(), other.detach(), **tolerance)


@pytest.mark.parametrize("choice", METHODS)
@pytest.mark.parametrize("kind", SCALED)
@pytest.mark.parametrize("damping", [1e-2, 1e-6])
def test_a_scaled_step_is_pefts(choice, kind, damping):
    make, keys, base = SCALED[kind]
    _, named, theirs, others = ours_and_peft(choice, "all")
    optimizer = make(named, **keys, damping=damping)
    oracle = create_riemannian_optimizer(theirs, base, reg=damping, **keys)
    follow(optimizer, [p for _, p in named], oracle, others, atol=2e-5, rtol=2e-4)


@pytest.mark.parametrize("kind", SCALED)
def test_a_slice_of_a_fused_projection_is_an_update_of_its_own(kind):
    make, keys, base = SCALED[kind]
    torch.manual_seed(0)
    down, up = Parameter(torch.randn(4, 5)), Parameter(torch.randn(6, 2))
    apart = nn.ModuleDict({
        f"slice_{j}": nn.ModuleDict({
            "lora_A": nn.Linear(5, 2, bias=False), "lora_B": nn.Linear(2, 3, bias=False),
        }) for j in range(2)
    })  # fmt: skip
    # PEFT's names end with the adapter's: lora_A.default.weight.
    named = {"x.lora_A": down, "x.lora_B": up}
    slices = [(apart[f"slice_{j}"]["lora_A"], apart[f"slice_{j}"]["lora_B"]) for j in range(2)]
    for j, (a, b) in enumerate(slices):
        a.weight.data.copy_(down.data[2 * j : 2 * j + 2])
        b.weight.data.copy_(up.data[3 * j : 3 * j + 3])
    optimizer = make(list(named.items()), **keys, damping=1e-4)
    oracle = create_riemannian_optimizer(apart, base, reg=1e-4, **keys)
    for step in range(3):
        torch.manual_seed(step)
        down.grad, up.grad = torch.randn(4, 5), torch.randn(6, 2)
        for j, (a, b) in enumerate(slices):
            a.weight.grad = down.grad[2 * j : 2 * j + 2].clone()
            b.weight.grad = up.grad[3 * j : 3 * j + 3].clone()
        optimizer.step()
        oracle.step()
        stacked = [torch.cat([pair[place].weight for pair in slices]) for place in (0, 1)]
        torch.testing.assert_close([down.data, up.data], stacked, atol=2e-5, rtol=2e-4)


def test_gradients_are_clipped_before_they_are_preconditioned():
    named = [("x.lora_A", Parameter(torch.ones(2, 3))), ("x.lora_B", Parameter(torch.eye(4, 2)))]
    optimizer = scaled_gd(named, lr=1.0, weight_decay=0.0, momentum=0.0, damping=1.0)
    for _, parameter in named:
        parameter.grad = torch.ones_like(parameter)

    def clip():
        for _, parameter in named:
            parameter.grad.mul_(0.5)
        return "loss"

    assert optimizer.step(clip) == "loss"
    # (BᵀB + I)⁻¹ = I / 2, so half of the halved gradient is taken off.
    assert torch.allclose(named[0][1], torch.full((2, 3), 0.75))


@pytest.mark.parametrize("choice", ["lora", "rslora"])
@pytest.mark.parametrize("bias", ["none", "all"])
def test_a_step_of_lora_fa_is_pefts(choice, bias, monkeypatch):
    monkeypatch.setattr(lorafa, "is_bf16_available", lambda: False)  # it would round
    model, named, theirs, others = ours_and_peft(choice, bias)
    oracle = create_lorafa_optimizer(theirs, r=2, lora_alpha=6, lr=0.01, weight_decay=0.1)
    maker = LoRAFA(lr=0.01, weight_decay=0.1, betas=[0.9, 0.999], eps=1e-6)
    maker.prepare(model)
    kept = [p.detach().clone() for name, p in named if name.endswith("lora_A")]
    trained = [(name, p) for name, p in named if p.requires_grad]
    optimizer = maker(trained)
    follow(
        optimizer,
        [p for _, p in trained],
        oracle,
        [other for (name, _), other in zip(named, others, strict=True) if "lora_A" not in name],
        atol=2e-5,
        rtol=2e-4,
    )
    assert all(p.equal(q) for p, q in zip(
        [p for name, p in named if name.endswith("lora_A")], kept, strict=True
    ))  # fmt: skip
    assert not any("lora_A" in name for name, _ in trained)


def test_what_lora_fa_leaves_frozen_is_not_counted_as_trained():
    method = METHODS["lora"](2, 6, 0.0, ["q", "v"])
    model = fresh(method)
    LoRAFA(lr=0.01, weight_decay=0.1, betas=[0.9, 0.999], eps=1e-6).prepare(model)
    [row] = method.parameter_table(model)
    assert row.count == sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert row.formula.endswith("A frozen")


@pytest.mark.parametrize("make", [scaled_adamw, scaled_gd])
def test_a_method_without_a_and_b_is_refused(make):
    keys = ADAMW if make is scaled_adamw else SGD
    with pytest.raises(InputError, match=r"trains no A and B of LoRA; set method=lora"):
        make([("wte.weight", Parameter(torch.ones(2, 2)))], **keys, damping=1e-6)
    with pytest.raises(InputError, match="optimizer=lora_fa"):
        LoRAFA(lr=0.1, weight_decay=0.1, betas=[0.9, 0.9], eps=1e-6).prepare(small_gpt2())
