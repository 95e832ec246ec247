"""LoRA's A and B among named parameters, for optimizers that treat them together."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import Parameter

from lora_lightning.errors import InputError

DOWN, UP = "lora_A", "lora_B"


@dataclass(frozen=True)
class LoRAPair:
    """A and B of one layer; slices of its output that are adapted apart lie stacked in both.

    Attributes:
        down: A, (slices·rank, in).
        up: B, (slices·out, rank).
    """

    down: Parameter
    up: Parameter

    @property
    def slices(self) -> int:
        """How many updates of their own the layer has."""
        return len(self.down) // self.up.shape[1]

    def down_blocks(self, stacked: Tensor) -> Tensor:
        """View a tensor of A's shape as (slices, rank, in)."""
        return stacked.unflatten(0, (self.slices, -1))

    def up_blocks(self, stacked: Tensor) -> Tensor:
        """View a tensor of B's shape as (slices, out, rank)."""
        return stacked.unflatten(0, (self.slices, -1))


def lora_pairs(named_parameters: Sequence[tuple[str, Parameter]], option: str) -> list[LoRAPair]:
    """Return the pairs among parameters, named as our LoRA or PEFT's names them.

    Args:
        named_parameters: what a method trains.
        option: of the group `optimizer`, for the message.

    Raises:
        InputError: there is none.
    """
    parameters = dict(named_parameters)
    pairs = []
    for name, down in named_parameters:
        parts = name.split(".")
        if DOWN in parts:
            up = parameters.get(".".join(UP if part == DOWN else part for part in parts))
            if up is not None and up.dim() == down.dim() == 2:
                pairs.append(LoRAPair(down, up))
    if not pairs:
        raise no_lora(option)
    return pairs


def no_lora(option: str) -> InputError:
    """Return the error of an optimizer of LoRA where the method is another."""
    return InputError(
        f"optimizer={option}: the method trains no A and B of LoRA; set method=lora, rslora or "
        "dora, or another optimizer"
    )


def damped_inverses(grams: Sequence[Tensor], damping: float) -> list[Tensor]:
    """Return (G + damping·I)⁻¹ of Gram matrices; all of one rank are inverted at once.

    Args:
        grams: each (slices, rank, rank), float32.
        damping: added to each diagonal, so that a matrix without full rank has an inverse.
    """
    inverses: list[Tensor | None] = [None] * len(grams)
    for rank in {gram.shape[-1] for gram in grams}:
        places = [place for place, gram in enumerate(grams) if gram.shape[-1] == rank]
        stacked = torch.cat([grams[place] for place in places])
        identity = torch.eye(rank, device=stacked.device, dtype=stacked.dtype)
        inverted = torch.linalg.pinv(stacked + damping * identity, hermitian=True)
        parts = inverted.split([len(grams[place]) for place in places])
        for place, part in zip(places, parts, strict=True):
            inverses[place] = part
    return [inverse for inverse in inverses if inverse is not None]
