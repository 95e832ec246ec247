"""`optimizer=torch`: every optimizer of torch's that steps without a closure, by its signature."""

import inspect

import pytest
import torch
from torch.nn import Parameter

from lora_lightning.errors import InputError
from lora_lightning.training.torch_optimizer import TorchOptimizer

CLASSES = {name: value for name, value in vars(torch.optim).items()
           if inspect.isclass(value) and issubclass(value, torch.optim.Optimizer)
           and value is not torch.optim.Optimizer}  # fmt: skip
REFUSED = ("LBFGS", "SparseAdam")


def follow(optimizer, oracle, ours, theirs):
    for step in range(3):
        torch.manual_seed(step)
        ours.grad = torch.randn(3, 2)
        theirs.grad = ours.grad.clone()
        optimizer.step()
        oracle.step()
    assert ours.equal(theirs)


@pytest.mark.parametrize("name", [name for name in CLASSES if name not in REFUSED])
def test_an_update_is_torchs_own(name):
    ours, theirs = Parameter(torch.ones(3, 2)), Parameter(torch.ones(3, 2))
    settings = {"weight_decay": 0.1} if name != "Rprop" else {"etas": [0.4, 1.3]}
    optimizer = TorchOptimizer(name=name, lr=0.01, settings=settings)([("x", ours)])
    given = {key: tuple(v) if isinstance(v, list) else v for key, v in settings.items()}
    follow(optimizer, CLASSES[name]([theirs], lr=0.01, **given), ours, theirs)
    assert type(optimizer) is CLASSES[name]


@pytest.mark.parametrize(("name", "said"), [
    ("LBFGS", "by a closure that training has not"), ("SparseAdam", "sparse gradients alone"),
    ("Adamx", "no such optimizer; the nearest is Adamax"), ("Optimizer", "no such optimizer"),
    ("lr_scheduler", "no such optimizer"), ("sgd", "the nearest is SGD"),
])  # fmt: skip
def test_a_class_that_training_cannot_use_is_refused_by_name(name, said):
    with pytest.raises(InputError, match=rf"optimizer\.name={name}: .*{said}"):
        TorchOptimizer(name=name, lr=0.01, settings=None)


@pytest.mark.parametrize(("settings", "said"), [
    ({"weight_decy": 0.1}, "no such argument; the nearest is weight_decay"),
    ({"weight_decay": "much"}, "allowed is a number"),
    ({"lr": 1.0}, "the rate is optimizer.lr"),
    ({"params": 1.0}, "no such argument"),
    ({"weight_decay": -1.0}, "Invalid weight_decay value: -1.0"),
    ({"differentiable": True}, "leave it out"), ({"capturable": True}, "leave it out"),
])  # fmt: skip
def test_settings_that_the_class_does_not_take_are_one_line(settings, said):
    with pytest.raises(InputError, match=said):
        TorchOptimizer(name="Adam", lr=0.01, settings=settings)


def test_what_the_method_trains_and_the_class_does_not_take_is_one_line():
    if "Muon" not in CLASSES:
        pytest.skip("this torch has no optimizer that is particular about parameters")
    maker = TorchOptimizer(name="Muon", lr=0.01, settings=None)
    with pytest.raises(InputError, match="2D parameters"):
        maker([("bias", Parameter(torch.ones(3)))])
