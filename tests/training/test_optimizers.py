"""The optimizers: the reference's trajectories to the digit, torch's as torch makes them."""

import json
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch.nn import Parameter

from lora_lightning.training.optimizers import (
    ReferenceAdamW,
    adamw,
    adamw_reference,
    decay_groups,
    sgd,
)
from tests.goldens import golden

FIXTURES = Path(__file__).parent / "fixtures"
NAMES = ("a.weight", "a.bias", "layer_norm.weight")
EXACT = {"atol": 1e-6, "rtol": 1e-6}
KEYS = {"lr": 0.01, "weight_decay": 0.1, "betas": [0.9, 0.999], "eps": 1e-6}


def follow(folder: Path) -> None:
    """Repeat every trajectory that a folder holds, comparing all parameters after each step."""
    tensors = load_file(folder / "adamw.safetensors")
    for case, setting in json.loads((folder / "adamw.json").read_text()).items():
        named = [(name, Parameter(tensors[f"{case}.init.{name}"].clone())) for name in NAMES]
        optimizer = adamw_reference(
            named,
            lr=setting["lr"],
            weight_decay=setting["wd"],
            betas=[setting["b1"], setting["b2"]],
            eps=setting["eps"],
            correct_bias=setting["cb"],
            no_decay_bias=setting["ndb"],
        )
        for step, lr in enumerate(setting["lr_used"]):
            for group in optimizer.param_groups:
                group["lr"] = lr
            for name, parameter in named:
                parameter.grad = tensors.get(f"{case}.grad.{step}.{name}")
            optimizer.step()
            for name, parameter in named:
                expected = tensors[f"{case}.param.{step}.{name}"]
                torch.testing.assert_close(parameter.data, expected, **EXACT)


def test_a_few_steps_of_the_references_adamw():
    follow(FIXTURES)


def test_all_steps_of_the_references_adamw():
    follow(golden("optimizer"))


def parameters(seed: int = 0) -> list[tuple[str, Parameter]]:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"a.weight": (3, 2), "a.bias": (3,), "layer_norm.weight": (2,)}
    return [(n, Parameter(torch.randn(s, generator=generator))) for n, s in shapes.items()]


def set_gradients(named: list[tuple[str, Parameter]], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for _, parameter in named:
        parameter.grad = torch.randn(parameter.shape, generator=generator)


@settings(max_examples=20, deadline=None)
@given(
    gradients=st.lists(st.none() | st.floats(-10, 10), min_size=1, max_size=6),
    correct_bias=st.booleans(),
    weight_decay=st.sampled_from([0.0, 0.01, 0.5]),
)
def test_one_number_follows_the_equations_of_the_docstring(gradients, correct_bias, weight_decay):
    lr, beta1, beta2, eps = 0.01, 0.9, 0.98, 1e-6
    parameter = Parameter(torch.tensor(1.5, dtype=torch.float64))
    optimizer = ReferenceAdamW(
        [parameter], lr, (beta1, beta2), eps, weight_decay, correct_bias=correct_bias
    )
    p, m, v, t = 1.5, 0.0, 0.0, 0
    for g in gradients:
        parameter.grad = None if g is None else torch.tensor(g, dtype=torch.float64)
        optimizer.step()
        if g is not None:
            t += 1
            m = beta1 * m + (1 - beta1) * g
            v = beta2 * v + (1 - beta2) * g * g
            step = lr * math.sqrt(1 - beta2**t) / (1 - beta1**t) if correct_bias else lr
            p -= step * m / (math.sqrt(v) + eps)
            p -= lr * weight_decay * p
        assert parameter.item() == pytest.approx(p, abs=1e-12)


def test_it_is_not_torchs_adamw():
    ours, torchs = parameters(), parameters()
    reference = adamw_reference(ours, **KEYS, correct_bias=True, no_decay_bias=False)
    other = adamw(torchs, **KEYS)
    for step in range(3):
        for named, optimizer in ((ours, reference), (torchs, other)):
            set_gradients(named, step)
            optimizer.step()
    difference = max(
        (p - q).abs().max().item() for (_, p), (_, q) in zip(ours, torchs, strict=True)
    )
    assert 1e-6 < difference < 1e-3


def test_each_parameter_counts_its_own_updates():
    named = parameters()
    optimizer = adamw_reference(named, **KEYS, correct_bias=True, no_decay_bias=False)
    set_gradients(named, 0)
    optimizer.step()
    named[1][1].grad = None
    optimizer.step()
    assert [optimizer.state[parameter]["step"] for _, parameter in named] == [2, 1, 2]


def test_without_any_gradient_nothing_moves():
    named = parameters()
    before = [parameter.detach().clone() for _, parameter in named]
    optimizer = adamw_reference(named, **KEYS, correct_bias=True, no_decay_bias=False)
    optimizer.step()
    assert all(torch.equal(p, q) for (_, p), q in zip(named, before, strict=True))
    assert not optimizer.state


def test_it_goes_on_from_a_checkpoint_bit_for_bit(tmp_path):
    def train(named, optimizer, steps):
        for step in steps:
            set_gradients(named, step)
            optimizer.step()

    def build(named):
        return adamw_reference(named, **KEYS, correct_bias=True, no_decay_bias=True)

    straight = parameters()
    optimizer = build(straight)
    train(straight, optimizer, range(3))
    torch.save(optimizer.state_dict(), tmp_path / "state.pt")
    resumed = [(name, Parameter(parameter.detach().clone())) for name, parameter in straight]
    again = build(resumed)
    again.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    train(straight, optimizer, range(3, 6))
    train(resumed, again, range(3, 6))
    assert all(torch.equal(p, q) for (_, p), (_, q) in zip(straight, resumed, strict=True))


def test_a_closure_is_called_with_gradients_on_and_its_loss_returned():
    weight = Parameter(torch.ones(2))
    optimizer = ReferenceAdamW([weight], lr=0.1)

    def closure():
        loss = (weight**2).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 2.0
    assert (weight < 1).all()


def test_no_decay_bias_exempts_biases_and_layer_norms_by_name():
    names = [
        "h.0.c_attn.bias",
        "layer_norm.weight",
        "ln_1.weight",
        "c_attn.lora_A",
        "c_attn.weight",
    ]
    named = [(name, Parameter(torch.zeros(1))) for name in names]
    decayed, exempt = decay_groups(named, weight_decay=0.1, no_decay_bias=True)
    assert [decayed["weight_decay"], exempt["weight_decay"]] == [0.1, 0.0]
    assert exempt["params"] == [named[0][1], named[1][1]]
    assert decayed["params"] == [parameter for _, parameter in named[2:]]


def test_without_no_decay_bias_there_is_one_group():
    (group,) = decay_groups(parameters(), weight_decay=0.1, no_decay_bias=False)
    assert len(group["params"]) == 3


@pytest.mark.parametrize(
    ("build", "keys", "expected"),
    [
        (adamw, KEYS, torch.optim.AdamW),
        (adamw_reference, KEYS | {"correct_bias": True, "no_decay_bias": False}, ReferenceAdamW),
        (sgd, {"lr": 0.1, "weight_decay": 0.1, "momentum": 0.9}, torch.optim.SGD),
    ],
)
def test_every_key_of_the_config_reaches_the_optimizer(build, keys, expected):
    optimizer = build(parameters(), **keys)
    assert type(optimizer) is expected
    (group,) = optimizer.param_groups
    for key, value in keys.items():
        if key != "no_decay_bias":
            assert group[key] == (tuple(value) if key == "betas" else value)
