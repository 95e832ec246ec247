"""A frozen product once for all, handed to layers that ask their projection for it.

A layer from elsewhere computes what it likes around the projection in whose place it stands. Most
ask that for the product of their own input, and add to it; they get their rows of the joint one.
What a layer changed before it asks is multiplied by itself.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from lora_lightning.gpt2.projection import GPT2Projection


class JointProduct:
    """x W + b of projections that have W in common, computed once one of them is asked.

    Args:
        x: (tokens, in), rows of all.
        projections: of each part of the rows; a frozen b that all have is added jointly.
        counts: how many rows each has.
    """

    def __init__(self, x: Tensor, projections: Sequence[GPT2Projection], counts: list[int]) -> None:
        self._x, self._projections, self._counts = x, projections, counts
        biases = [projection.bias for projection in projections]
        is_one = len({bias.data_ptr() for bias in biases}) == 1
        self._has_bias = is_one and not any(bias.requires_grad for bias in biases)
        self._parts: Sequence[Tensor] | None = None

    def part(self, number: int) -> Tensor:
        """Return the rows of a projection, (its tokens, out)."""
        projection = self._projections[number]
        if self._parts is None:
            if self._has_bias:
                product = GPT2Projection.forward(projection, self._x)
            else:
                product = self._x @ projection.weight.to(self._x.dtype)
            # Parts that autograd takes for tensors of their own: a layer may change its in place.
            self._parts = torch.unsafe_split_with_sizes(product, self._counts)
        rows = self._parts[number]
        return rows if self._has_bias else rows + projection.bias.to(rows.dtype)

    @contextmanager
    def answers(self, number: int, x: Tensor) -> Iterator[None]:
        """Context in which a projection that is called with `x` itself gives its rows."""
        projection = self._projections[number]

        def forward(given: Tensor) -> Tensor:
            return self.part(number) if given is x else GPT2Projection.forward(projection, given)

        projection.forward = forward  # type: ignore[assignment, method-assign]  # which a module's call prefers
        try:
            yield
        finally:
            del projection.forward
