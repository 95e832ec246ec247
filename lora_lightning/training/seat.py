"""A training's place among others that share their base and the passes over it."""

from contextvars import ContextVar
from typing import Protocol

import torch
from torch import Tensor
from transformers import GPT2LMHeadModel

from lora_lightning.gpt2.forward import Execution
from lora_lightning.gpt2.rows import PackedRows
from lora_lightning.training.memory import MemoryEstimate


class Seat(Protocol):
    """What computes for a training in its stead, together with the others.

    Attributes:
        round: how many micro-batches the others and it have had together so far.
        is_save_due: whether all save now, since others than before go on from here.
    """

    round: int
    is_save_due: bool

    def take(self, model: GPT2LMHeadModel, device: torch.device) -> None:
        """Let `model` share what others have of its frozen base, on the device of the training."""

    def reserve(self, memory: MemoryEstimate, device: torch.device) -> None:
        """Say how much memory the training will take at its peak, and where."""

    def hidden_states(
        self,
        model: GPT2LMHeadModel,
        rows: PackedRows,
        wanted: Tensor,
        execution: Execution,
        is_last: bool,
    ) -> Tensor:
        """Return the final hidden states of the wanted positions, as `packed_hidden_states`.

        `is_last` is false of a micro-batch's parts that others follow.
        """

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of a loss () to the trained tensors that it depends on."""

    def meet(self) -> None:
        """Wait until every rank has come here, after what ranks do more or less of."""


SEAT: ContextVar[Seat | None] = ContextVar("SEAT", default=None)
"""Of the training that runs in this context; None where it has its base for itself."""
