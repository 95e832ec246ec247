"""A loss or gradient that is not finite: noticed, and told where it came from."""

import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn
from transformers import GPT2LMHeadModel

from lora_lightning.errors import InputError


class NotFiniteError(InputError):
    """A run came to numbers that are none: nothing that it trained from there on is of use."""


class RowsOfTokens(Protocol):
    """What is kept of a micro-batch to run it again."""

    @property
    def input_ids(self) -> Tensor:
        """Token ids of all rows, (tokens,) int64."""

    @property
    def lengths(self) -> tuple[int, ...]:
        """Number of tokens of each row."""

    @property
    def row_ids(self) -> tuple[int, ...]:
        """Number of each row in the data set."""


class _Update(NamedTuple):
    number: int
    batches: Sequence[RowsOfTokens]
    values: Tensor  # (2,): loss, norm of the gradient


class FiniteWatch:
    """Keeps loss and gradient norm of the updates until somebody looks at them.

    To look at every update would make a GPU's host wait at every update; so there one looks when a
    row is logged anyway, and before anything is saved.
    """

    def __init__(self) -> None:
        self._unseen: list[_Update] = []

    def note(
        self, number: int, batches: Sequence[RowsOfTokens], loss: Tensor, gradient_norm: Tensor
    ) -> None:
        """Keep an update's numbers.

        Args:
            number: of the update, from 1.
            batches: its micro-batches.
            loss: their mean loss, ().
            gradient_norm: norm of its whole gradient, ().
        """
        values = torch.stack([loss.detach().float(), gradient_norm.detach().float()])
        self._unseen.append(_Update(number, batches, values))

    def check(self, model: GPT2LMHeadModel) -> None:
        """Look at the updates noted since the last time.

        Args:
            model: run again on the rows of an update that is not finite.

        Raises:
            NotFiniteError: an update's loss or gradient is not finite; names the update, its rows
                and the module with the largest activation.
        """
        updates, self._unseen = self._unseen, []
        if not updates:
            return
        everything = torch.stack([update.values for update in updates]).tolist()
        for update, (loss, gradient_norm) in zip(updates, everything, strict=True):
            if math.isfinite(loss) and math.isfinite(gradient_norm):
                continue
            what = f"loss is {loss}" if not math.isfinite(loss) else f"gradient is {gradient_norm}"
            rows = [row for batch in update.batches for row in batch.row_ids]
            module, size = largest_activation(model, update.batches)
            raise NotFiniteError(
                f"update {update.number}: the {what} on rows {rows}; the largest activation is "
                f"{size:.3g} in {module}; lower optimizer.lr or set trainer.gradient_clip_val"
            )


@torch.no_grad()
def largest_activation(
    model: GPT2LMHeadModel, batches: Sequence[RowsOfTokens]
) -> tuple[str, float]:
    """Run rows through the model as it is now, and return the module with the largest output.

    Args:
        model: put into evaluation mode for the time.
        batches: the rows.

    Returns:
        Its name and the output's largest magnitude; the first whose output is not finite counts as
        the largest.
    """
    largest = ("no module", 0.0)

    def look(name: str, result: object) -> None:
        nonlocal largest
        if isinstance(result, Tensor) and result.numel() and math.isfinite(largest[1]):
            size = result.abs().max().item()
            if not size <= largest[1]:  # also where it is NaN
                largest = name, size

    hooks = [
        module.register_forward_hook(lambda _, __, result, name=name: look(name, result))
        for name, module in model.named_modules()
        if not isinstance(module, nn.ModuleList) and module is not model
    ]
    was_training = model.training
    model.eval()
    try:
        for batch in batches:
            for row in batch.input_ids.split(list(batch.lengths)):
                model.transformer(row.unsqueeze(0), use_cache=False)
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    return largest
