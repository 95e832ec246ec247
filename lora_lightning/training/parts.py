"""A micro-batch taken in parts, so that what a CPU keeps for the backward pass stays small.

The gradient of a mean over labels is the sum over the parts; the rows of one do not see another's.
"""

from collections.abc import Sequence
from itertools import accumulate, groupby
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from lora_lightning.gpt2.rows import PackedRows
from lora_lightning.training.loss import COUNT_OFFSET

TOKENS_AT_ONCE = 2048
"""Of a part on a CPU. More gain nothing there and take memory; with a few hundred, products are
slower."""


class PackedTargets(PackedRows, Protocol):
    """Packed rows of tokens with what follows each."""

    @property
    def targets(self) -> Tensor:
        """Next token ids, (tokens,) int64."""


class Part(NamedTuple):
    """Some rows of a micro-batch, as `gpt2.rows.PackedRows`, with their labels.

    Attributes:
        input_ids: (tokens,) int64.
        position_ids: place of each token in its row, (tokens,) int64.
        boundaries: where each row begins and the last one ends, (rows + 1,) int32.
        lengths: number of tokens of each row.
        positions: which tokens have a label, (labels,) int64.
        targets: the labels, (labels,) int64.
        share: of the micro-batch's mean in this part's own, as the loss takes means; the parts' sum
            to 1, to rounding.
        is_last: whether no part follows.
    """

    input_ids: Tensor
    position_ids: Tensor
    boundaries: Tensor
    lengths: tuple[int, ...]
    positions: Tensor
    targets: Tensor
    share: float
    is_last: bool


def parts_of(batch: PackedTargets, positions: Tensor) -> list[Part]:
    """Divide a micro-batch into parts of whole rows; on a GPU, and where it is small, it is one.

    Args:
        batch: the rows.
        positions: those with a label, ascending, (labels,) int64, at least one.

    Returns:
        Those that have a label, in the order of the rows.
    """
    groups = _rows_of_parts(batch.lengths, batch.input_ids.device)
    if len(groups) == 1:  # nothing to look for, for which a GPU would have to wait
        rows = batch.input_ids, batch.position_ids, batch.boundaries, batch.lengths
        return [Part(*rows, positions, batch.targets[positions], share=1.0, is_last=True)]
    parts = []
    for group in groups:
        first, last = batch.boundaries[[group.start, group.stop]].tolist()
        begin, end = (int(torch.searchsorted(positions, place)) for place in (first, last))
        if begin == end:
            continue
        own = positions[begin:end]
        parts.append(
            Part(
                input_ids=batch.input_ids[first:last],
                position_ids=batch.position_ids[first:last],
                boundaries=batch.boundaries[group.start : group.stop + 1] - first,
                lengths=batch.lengths[group],
                positions=own - first,
                targets=batch.targets[own],
                share=(len(own) + COUNT_OFFSET) / (len(positions) + COUNT_OFFSET),
                is_last=end == len(positions),
            )
        )
    return parts


def largest_part(lengths: Sequence[int], device: torch.device) -> Sequence[int]:
    """Return the lengths of the rows that are computed at once, of a micro-batch of `lengths`."""
    parts = [lengths[rows] for rows in _rows_of_parts(lengths, device)]
    return max(parts, key=sum)


def _rows_of_parts(lengths: Sequence[int], device: torch.device) -> list[slice]:
    """Return which rows each part has: about as many tokens as the others."""
    tokens = sum(lengths)
    count = -(-tokens // TOKENS_AT_ONCE) if device.type == "cpu" else 1
    begins = list(accumulate(lengths, initial=0))
    groups = groupby(range(len(lengths)), key=lambda row: begins[row] * count // tokens)
    rows = [list(group) for _, group in groups]
    return [slice(group[0], group[-1] + 1) for group in rows]
