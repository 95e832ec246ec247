"""Riemannian preconditioned LoRA (Zhang and Pilanci 2024, arXiv 2402.02347).

Before AdamW or gradient descent sees them, the gradients of each update B A become

    g_A ← (Bᵀ B + δ I)⁻¹ g_A,    g_B ← g_B (A Aᵀ + δ I)⁻¹

which is the gradient in a metric of the matrices of rank r (section 3): it no longer matters how
B A is divided between B and A. Slices of a fused projection are updates of their own, as in the
authors' code. All that is not A or B is updated as without it.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.optim import SGD, AdamW

from lora_lightning.ranges import Positive, PositiveShare, Probability, Rate, ranged
from lora_lightning.training.lora_pairs import LoRAPair, damped_inverses, lora_pairs
from lora_lightning.training.optimizers import Betas, NamedParameters, called, gradients_of


@torch.no_grad()
def precondition(pairs: Sequence[LoRAPair], damping: float) -> None:
    """Replace the gradients of A and B, in place; a pair without both of them stays as it is.

    Args:
        pairs: A and B of each layer.
        damping: δ.
    """
    pairs = [pair for pair in pairs if pair.down.grad is not None and pair.up.grad is not None]
    downs = [pair.down_blocks(pair.down.float()) for pair in pairs]  # (slices, rank, in)
    ups = [pair.up_blocks(pair.up.float()) for pair in pairs]  # (slices, out, rank)
    of_downs = damped_inverses([up.mT @ up for up in ups], damping)
    of_ups = damped_inverses([down @ down.mT for down in downs], damping)
    for pair, of_down, of_up in zip(pairs, of_downs, of_ups, strict=True):
        down, up = gradients_of([pair.down, pair.up])
        down.copy_((of_down @ pair.down_blocks(down.float())).flatten(0, 1))
        up.copy_((pair.up_blocks(up.float()) @ of_up).flatten(0, 1))


class ScaledAdamW(AdamW):
    """torch's AdamW over preconditioned gradients.

    Args:
        pairs: A and B of each layer.
        damping: δ.
        settings: AdamW's.
    """

    def __init__(self, pairs: Sequence[LoRAPair], damping: float, **settings: Any) -> None:
        super().__init__(**settings)
        self.pairs, self.damping = pairs, damping

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Precondition, and update; a closure, which may clip gradients, comes first."""
        loss = called(closure)
        precondition(self.pairs, self.damping)
        super().step()
        return loss


class ScaledGD(SGD):
    """torch's SGD over preconditioned gradients; arguments as in `ScaledAdamW`."""

    def __init__(self, pairs: Sequence[LoRAPair], damping: float, **settings: Any) -> None:
        super().__init__(**settings)
        self.pairs, self.damping = pairs, damping

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Precondition, and update; a closure, which may clip gradients, comes first."""
        loss = called(closure)
        precondition(self.pairs, self.damping)
        super().step()
        return loss


@ranged("optimizer")
def scaled_adamw(
    named_parameters: NamedParameters,
    lr: Rate,
    weight_decay: Rate,
    betas: Betas,
    eps: PositiveShare,
    damping: Positive,
) -> ScaledAdamW:
    """Build scaled AdamW; arguments as torch's, and δ.

    Raises:
        InputError: the method trains no A and B.
    """
    beta1, beta2 = betas
    return ScaledAdamW(
        lora_pairs(named_parameters, "scaled_adamw"),
        damping,
        params=[parameter for _, parameter in named_parameters],
        lr=lr,
        betas=(beta1, beta2),
        eps=eps,
        weight_decay=weight_decay,
    )


@ranged("optimizer")
def scaled_gd(
    named_parameters: NamedParameters,
    lr: Rate,
    weight_decay: Rate,
    momentum: Probability,
    damping: Positive,
) -> ScaledGD:
    """Build scaled gradient descent; arguments as torch's SGD, and δ.

    Raises:
        InputError: the method trains no A and B.
    """
    return ScaledGD(
        lora_pairs(named_parameters, "scaled_gd"),
        damping,
        params=[parameter for _, parameter in named_parameters],
        lr=lr,
        momentum=momentum,
        weight_decay=weight_decay,
    )
