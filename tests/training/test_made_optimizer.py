"""What a user's own option of `optimizer` and `scheduler` gives is judged before it is used."""

from types import SimpleNamespace

import pytest
import torch

from lora_lightning.errors import InputError
from lora_lightning.training.made_optimizer import require_optimizer
from lora_lightning.training.schedules import require_schedule

PARAMETERS = [("w", torch.nn.Parameter(torch.zeros(2)))]


class WithoutStep(torch.optim.Optimizer):
    pass


class WithoutRate(torch.optim.Optimizer):
    def step(self, closure=None):
        pass


@pytest.mark.parametrize(("made", "said"), [
    (lambda: None, "gives a NoneType, where a torch.optim.Optimizer is needed"),
    (lambda: WithoutStep(PARAMETERS, {"lr": 1.0}), "WithoutStep has no step"),
    (lambda: WithoutRate(PARAMETERS, {}), "WithoutRate has no rate among its defaults"),
    (lambda: torch.optim.LBFGS([p for _, p in PARAMETERS]), "LBFGS: it computes the loss several"),
])  # fmt: skip
def test_what_training_cannot_go_by_is_refused_by_name(made, said):
    with pytest.raises(InputError, match=f"optimizer._target_: {said}"):
        require_optimizer(made())


def test_an_optimizer_that_has_stepped_before_passes():
    optimizer = torch.optim.SGD(PARAMETERS, lr=1.0)
    optimizer.step()
    assert require_optimizer(optimizer) is optimizer


@pytest.mark.parametrize(("changed", "said"), [
    ({"per": "epoch"}, r"scheduler.per=epoch: allowed is optimizer_step \| micro_step"),
    ({"warmup_steps": "none"}, "scheduler.warmup_steps=none: allowed is"),
    ({"run_steps": 0}, "scheduler.run_steps=0: allowed is"),
    ({"factor": lambda t, base_lr, total_steps: "fast"}, r"factor\(\) gives a str, where a number"),
])  # fmt: skip
def test_a_schedule_that_training_cannot_count_by_is_refused_by_name(changed, said):
    fitting = {"per": "optimizer_step", "warmup_steps": 0, "run_steps": None,
               "factor": lambda t, base_lr, total_steps: 1.0}  # fmt: skip
    require_schedule(SimpleNamespace(**fitting))
    with pytest.raises(InputError, match=said):
        require_schedule(SimpleNamespace(**fitting | changed))
