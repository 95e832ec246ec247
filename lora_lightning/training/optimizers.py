"""Optimizers, each built from named parameters and the keys of its config."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any

import torch
from annotated_types import MaxLen, MinLen
from torch import Tensor, nn
from torch.nn import Parameter
from torch.optim import SGD, AdamW, Optimizer

from lora_lightning.ranges import PositiveShare, Probability, Rate, ranged

NamedParameters = Sequence[tuple[str, Parameter]]
Betas = Annotated[Sequence[Probability], MinLen(2), MaxLen(2)]


class OptimizerMaker(ABC):
    """What an option of the group `optimizer` describes where a function would not do."""

    def prepare(self, model: nn.Module) -> None:  # noqa: B027
        """Freeze what the optimizer will not update, before the training is laid out.

        Args:
            model: with its method applied; changed in place.
        """

    @abstractmethod
    def __call__(self, named_parameters: NamedParameters) -> Optimizer:
        """Build the optimizer over what is trained."""


class ReferenceAdamW(Optimizer):
    """AdamW as the reference updates, which is not torch's in three places.

    For the gradient g of a parameter p, at its own update number t = 1, 2, …:

        m ← β1·m + (1 - β1)·g
        v ← β2·v + (1 - β2)·g²
        p ← p - step·m / (√v + eps)      step = lr·√(1 - β2ᵗ) / (1 - β1ᵗ)
        p ← p - lr·weight_decay·p

    So eps is added before the bias correction of v, the decay comes after the update and acts on
    the updated value, and the bias correction can be left out (then step = lr). A parameter whose
    gradient is None keeps its moments and its t.

    Args:
        params: parameters, or parameter groups that may override each of the following.
        lr: learning rate.
        betas: decay rates of the two moments, β1 and β2.
        eps: added to √v.
        weight_decay: decay per step as a multiple of lr.
        correct_bias: whether to correct the moments' bias towards 0.
    """

    def __init__(
        self,
        params: Iterable[Parameter] | Iterable[dict[str, Any]],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.98),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        correct_bias: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "correct_bias": correct_bias,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient.

        Args:
            closure: recomputes the loss and the gradients first.

        Returns:
            What the closure returns; None without one.
        """
        loss = called(closure)
        for group in self.param_groups:
            self._update_group(group)
        return loss

    def _update_group(self, group: dict[str, Any]) -> None:
        params: list[Tensor] = [p for p in group["params"] if p.grad is not None]
        if not params:
            return
        grads = gradients_of(params)
        states = [self._advanced_state(p) for p in params]
        first = [state["first_moment"] for state in states]
        second = [state["second_moment"] for state in states]
        beta1, beta2 = group["betas"]

        torch._foreach_mul_(first, beta1)
        torch._foreach_add_(first, grads, alpha=1 - beta1)
        torch._foreach_mul_(second, beta2)
        torch._foreach_addcmul_(second, grads, grads, value=1 - beta2)

        denominators = torch._foreach_sqrt(second)
        torch._foreach_add_(denominators, group["eps"])
        steps = [-_step_size(group, state["step"]) for state in states]
        torch._foreach_addcdiv_(params, first, denominators, steps)
        if group["weight_decay"] > 0:
            torch._foreach_mul_(params, 1 - group["lr"] * group["weight_decay"])

    def _advanced_state(self, parameter: Tensor) -> dict[str, Any]:
        state = self.state[parameter]
        if not state:
            state["step"] = 0
            state["first_moment"] = torch.zeros_like(parameter)
            state["second_moment"] = torch.zeros_like(parameter)
        state["step"] += 1
        return state


def _step_size(group: dict[str, Any], step: int) -> float:
    """The factor of m / (√v + eps) at a parameter's update number `step`, counted from 1."""
    lr: float = group["lr"]
    if not group["correct_bias"]:
        return lr
    beta1, beta2 = group["betas"]
    return lr * (1 - beta2**step) ** 0.5 / (1 - beta1**step)


def called(closure: Callable[[], Any] | None) -> Any:
    """Return what a closure returns, with gradients recorded; None without one."""
    if closure is None:
        return None
    with torch.enable_grad():
        return closure()


def gradients_of(parameters: Iterable[Tensor]) -> list[Tensor]:
    """Return the gradients of parameters that have one."""
    return [p.grad for p in parameters if p.grad is not None]


def decay_groups(
    named_parameters: NamedParameters, weight_decay: float, no_decay_bias: bool
) -> list[dict[str, Any]]:
    """Divide parameters into one group with weight decay and one without; empty ones are left out.

    Args:
        named_parameters: the parameters to train.
        weight_decay: of the first group.
        no_decay_bias: exempt names that contain `bias` or `layer_norm.weight`, as in the
            reference: not GPT-2's `ln_1.weight`, and no LoRA tensor. False exempts nothing.
    """

    def is_exempt(name: str) -> bool:
        return no_decay_bias and ("bias" in name or "layer_norm.weight" in name)

    decayed = [parameter for name, parameter in named_parameters if not is_exempt(name)]
    exempt = [parameter for name, parameter in named_parameters if is_exempt(name)]
    groups = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": exempt, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


@ranged("optimizer")
def adamw(
    named_parameters: NamedParameters,
    lr: Rate,
    weight_decay: Rate,
    betas: Betas,
    eps: PositiveShare,
) -> AdamW:
    """Build torch's AdamW; arguments as there."""
    beta1, beta2 = betas
    return AdamW(
        [parameter for _, parameter in named_parameters],
        lr=lr,
        betas=(beta1, beta2),
        eps=eps,
        weight_decay=weight_decay,
    )


@ranged("optimizer")
def adamw_reference(
    named_parameters: NamedParameters,
    lr: Rate,
    weight_decay: Rate,
    betas: Betas,
    eps: PositiveShare,
    correct_bias: bool,
    no_decay_bias: bool,
) -> ReferenceAdamW:
    """Build the reference's AdamW; arguments as in `ReferenceAdamW` and `decay_groups`."""
    beta1, beta2 = betas
    return ReferenceAdamW(
        decay_groups(named_parameters, weight_decay, no_decay_bias),
        lr=lr,
        betas=(beta1, beta2),
        eps=eps,
        correct_bias=correct_bias,
    )


@ranged("optimizer")
def sgd(
    named_parameters: NamedParameters,
    lr: Rate,
    weight_decay: Rate,
    momentum: Probability,
) -> SGD:
    """Build torch's SGD; arguments as there."""
    return SGD(
        [parameter for _, parameter in named_parameters],
        lr=lr,
        momentum=momentum,
        weight_decay=weight_decay,
    )
