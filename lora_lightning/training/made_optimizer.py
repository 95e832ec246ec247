"""Whether what an option of the group `optimizer` made is one that training can go by."""

import inspect

from torch.optim import Optimizer

from lora_lightning.errors import InputError

CLOSURE = "it computes the loss several times an update, by a closure that training has not"


def require_optimizer(made: object) -> Optimizer:
    """Return what an option of the group `optimizer` made, if training can go by it.

    Raises:
        InputError: it is no optimizer, cannot update, or has no rate.
    """
    name, reason = type(made).__name__, None
    if not isinstance(made, Optimizer):
        reason = f"gives a {name}, where a torch.optim.Optimizer is needed; let it return one"
    elif inspect.unwrap(type(made).step) is inspect.unwrap(Optimizer.step):
        reason = f"{name} has no step() of its own; write it"
    elif needs_closure(type(made)):
        reason = f"{name}: {CLOSURE}; choose another"
    elif "lr" not in made.defaults:
        reason = f"{name} has no rate among its defaults; hand lr to torch.optim.Optimizer"
    if reason is not None:
        raise InputError(f"optimizer._target_: {reason}")
    assert isinstance(made, Optimizer)
    return made


def needs_closure(optimizer_class: type[Optimizer]) -> bool:
    """Whether an optimizer cannot update without computing the loss anew."""
    closure = inspect.signature(optimizer_class.step).parameters.get("closure")
    return closure is not None and closure.default is inspect.Parameter.empty
