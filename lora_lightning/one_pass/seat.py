"""A job's seat in a pass: what it computes there is asked for, and answered with the others'."""

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor
from transformers import GPT2LMHeadModel

from lora_lightning.decoding.hypotheses import Hypothesis
from lora_lightning.decoding.runner import check_queries
from lora_lightning.decoding.settings import BeamSettings
from lora_lightning.gpt2.forward import Execution
from lora_lightning.gpt2.packing import Packing
from lora_lightning.gpt2.rows import PackedRows
from lora_lightning.one_pass.base import SharedBase
from lora_lightning.one_pass.precision import Precision
from lora_lightning.one_pass.requests import Backward, Decoding, Forward, Meeting, NextText
from lora_lightning.one_pass.room import Reserved
from lora_lightning.one_pass.turns import ask
from lora_lightning.training.memory import MemoryEstimate


class OwnSeat:
    """See `training.seat.Seat` and `decoding.seat.DecodingSeat`.

    Args:
        base: what the jobs of the pass share.
        has_ranks: whether other processes have a share of the job.
    """

    def __init__(self, base: SharedBase, has_ranks: bool = False) -> None:
        self._base = base
        self._has_ranks = has_ranks
        self.round = 0
        self.is_save_due = False
        self.reserved: Reserved | None = None

    def take(self, model: GPT2LMHeadModel, device: torch.device) -> None:
        """Share the frozen tensors that others have as well."""
        self._base.share_with(model, device)

    def reserve(self, memory: MemoryEstimate, device: torch.device) -> None:
        """Note how much memory the training will take, and where."""
        self.reserved = Reserved(memory, device)

    def hidden_states(
        self,
        model: GPT2LMHeadModel,
        rows: PackedRows,
        wanted: Tensor,
        execution: Execution,
        is_last: bool,
    ) -> Tensor:
        """Return the final hidden states of the wanted positions, (wanted, width)."""
        is_training = torch.is_grad_enabled()
        precision = Precision.now(wanted.device)
        is_last &= is_training
        hidden: Tensor = ask(
            Forward(model, rows, wanted, execution, is_training, is_last, precision)
        )
        return hidden

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of a loss to what it depends on."""
        ask(Backward(loss))

    def meet(self) -> None:
        """Wait until every rank has come here."""
        if self._has_ranks:
            ask(Meeting())

    def decode(
        self,
        model: GPT2LMHeadModel,
        queries: Sequence[list[int]],
        settings: BeamSettings,
        batch_size: int | Literal["auto"],
        max_memory: int | None,
        packing: Packing,
    ) -> Iterator[tuple[int, list[Hypothesis]]]:
        """Yield each query's number and hypotheses, as they are done."""
        check_queries(model, queries, settings, batch_size)
        with torch.inference_mode(False):
            self.take(model, model.device)
        if self.reserved is None:
            weights = sum(parameter.nbytes for parameter in model.parameters())
            own = MemoryEstimate(weights, self._base.own_bytes(model), activations=0, tokens=1)
            self.reserve(own, model.device)
        precision, left = Precision.now(model.device), list(range(len(queries)))
        decoding = Decoding(
            model, queries, settings, batch_size, max_memory, packing, precision, left
        )
        for _ in queries:
            yield ask(NextText(decoding))
