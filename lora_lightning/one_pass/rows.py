"""The rows of several trainings as one packed micro-batch."""

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor

from lora_lightning.gpt2.rows import PackedRows


class JoinedRows(NamedTuple):
    """Packed rows of several micro-batches, one after another; see `PackedRows`."""

    input_ids: Tensor
    position_ids: Tensor
    boundaries: Tensor
    lengths: tuple[int, ...]


def join_rows(batches: Sequence[PackedRows]) -> JoinedRows:
    """Return the rows of all batches, end to end."""
    before = starts(batches)
    ends = [batch.boundaries[1:] + start for batch, start in zip(batches, before, strict=True)]
    return JoinedRows(
        torch.cat([batch.input_ids for batch in batches]),
        torch.cat([batch.position_ids for batch in batches]),
        torch.cat([batches[0].boundaries[:1], *ends]),
        tuple(length for batch in batches for length in batch.lengths),
    )


def starts(batches: Sequence[PackedRows]) -> list[int]:
    """Return where each batch's tokens begin among the joined ones."""
    return [0, *accumulate(len(batch.input_ids) for batch in batches)][:-1]
