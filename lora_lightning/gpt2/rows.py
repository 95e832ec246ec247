"""Rows of tokens that lie end to end, without padding: what the forward pass asks of them."""

from typing import Protocol

from torch import Tensor


class RowLayout(Protocol):
    """Where each row of a packed micro-batch stands."""

    @property
    def boundaries(self) -> Tensor:
        """Where each row begins and the last one ends, (rows + 1,) int32."""

    @property
    def lengths(self) -> tuple[int, ...]:
        """Number of tokens of each row."""


class PackedRows(RowLayout, Protocol):
    """Rows of tokens, end to end."""

    @property
    def input_ids(self) -> Tensor:
        """Token ids, (tokens,) int64."""

    @property
    def position_ids(self) -> Tensor:
        """Place of each token in its row, (tokens,) int64."""
