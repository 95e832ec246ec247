"""LoRA+: which tensor has which rate, and what a schedule does to both."""

import warnings

import peft
import pytest
import torch
from peft.optimizers import create_loraplus_optimizer
from torch.nn import Parameter

from lora_lightning.errors import InputError
from lora_lightning.training.lora_plus import lora_plus
from lora_lightning.training.schedules import CyclicSchedule, LinearSchedule, build_schedule
from tests.methods.models import METHODS, fresh, small_gpt2

KEYS = {"lr": 1e-3, "lr_ratio": 16, "weight_decay": 0.1, "betas": [0.9, 0.99], "eps": 1e-6}


def parameters():
    torch.manual_seed(0)
    shapes = {"c.lora_A": (2, 3), "c.lora_B": (4, 2), "c.lora_magnitude_vector": (4,)}
    return [(n, Parameter(torch.randn(s))) for n, s in (shapes | {"c.base.bias": (4,)}).items()]


def rates(optimizer):
    return [group["lr"] for group in optimizer.param_groups]


def test_b_and_every_vector_have_the_larger_rate_and_biases_no_decay():
    named = parameters()
    optimizer = lora_plus(named, **KEYS)
    found = {
        id(p): (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for p in group["params"]
    }
    assert [found[id(parameter)] for _, parameter in named] == [
        (1e-3, 0.1),
        (0.016, 0.1),
        (0.016, 0.1),
        (0.016, 0.0),
    ]
    assert {group["betas"] for group in optimizer.param_groups} == {(0.9, 0.99)}


@pytest.mark.parametrize("choice", METHODS)
@pytest.mark.parametrize("bias", ["none", "all"])
def test_the_groups_are_those_of_peft(choice, bias):
    settings = {"lora_alpha": 6, "target_modules": ["c_attn", "c_fc"], "fan_in_fan_out": True}
    features = {"use_dora": choice == "dora", "use_rslora": choice == "rslora", "bias": bias}
    theirs = create_loraplus_optimizer(
        peft.get_peft_model(small_gpt2(), peft.LoraConfig(r=2, **settings | features)),
        torch.optim.AdamW,
        lr=1e-3,
        loraplus_lr_ratio=16,
        loraplus_weight_decay=0.1,
    )
    model = fresh(METHODS[choice](2, 6, 0.0, ["c_attn", "c_fc"], bias))
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    ours = lora_plus(trained, **KEYS)

    def summary(optimizer):
        return sorted(
            (group["lr"], group["weight_decay"], tuple(parameter.shape))
            for group in optimizer.param_groups
            for parameter in group["params"]
        )

    assert summary(ours) == summary(theirs)


def test_a_step_is_adamws_at_each_rate():
    named, plain = parameters()[:2], parameters()[:2]
    optimizer = lora_plus(named, **KEYS)
    apart = [
        torch.optim.AdamW([p], lr=rate, weight_decay=0.1, betas=(0.9, 0.99), eps=1e-6)
        for (_, p), rate in zip(plain, (1e-3, 0.016), strict=True)
    ]
    for step in range(3):
        torch.manual_seed(step)
        for (_, ours), (_, theirs) in zip(named, plain, strict=True):
            ours.grad = torch.randn(ours.shape)
            theirs.grad = ours.grad.clone()
        optimizer.step()
        for other in apart:
            other.step()
    assert all(p.equal(q) for (_, p), (_, q) in zip(named, plain, strict=True))


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (LinearSchedule(warmup_steps=2), [0.0, 5e-4, 1e-3, 5e-4, 0.0]),
        (CyclicSchedule("optimizer_step", [0, 2, 4], [2e-3, 4e-3, 0.0]), [2e-3, 3e-3, 4e-3, 2e-3]),
    ],
    ids=["linear", "cyclic"],
)
def test_a_schedule_multiplies_both_rates(schedule, expected):
    optimizer = lora_plus(parameters(), **KEYS)
    scheduler = build_schedule(optimizer, schedule, 4)
    for rate in expected:
        assert rates(optimizer) == pytest.approx([rate, 16 * rate, 16 * rate], rel=1e-5, abs=1e-8)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, that the optimizer made no step
            scheduler.step()


def test_a_method_without_b_is_refused():
    with pytest.raises(InputError, match=r"optimizer=lora_plus.*set method=lora"):
        lora_plus([("wte.weight", Parameter(torch.ones(2, 2)))], **KEYS)
