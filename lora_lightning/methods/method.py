"""What a training method offers to the commands."""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from lora_lightning.methods.targets import name_pattern


@dataclass(frozen=True)
class ParameterRow:
    """One line of the table of trainable parameters.

    Attributes:
        kind: which tensors, with `*` for the layer number.
        formula: how their number comes about, in words and figures.
        count: number of parameters.
    """

    kind: str
    formula: str
    count: int


class Method(Protocol):
    """Decides which parameters of a base model are trained, and adds those that it needs."""

    def apply(self, model: nn.Module) -> None:
        """Make `model`, a base model fresh from its weights, ready for training, in place.

        Raises:
            InputError: a setting does not fit the model; it names the `method.` key.
        """

    def parameter_table(self, model: nn.Module) -> list[ParameterRow]:
        """Return the trainable parameters of a model that `apply` made ready, in a few rows."""


def tensor_rows(named_tensors: Iterable[tuple[str, Tensor]]) -> list[ParameterRow]:
    """Return one row for each kind of tensor: names that differ in the layer alone are one kind."""
    kinds: dict[tuple[str, tuple[int, ...]], int] = defaultdict(int)
    for name, tensor in named_tensors:
        kinds[name_pattern(name), tuple(tensor.shape)] += 1
    rows = []
    for (kind, shape), number in kinds.items():
        layers = f"{number} layers · " if number > 1 else ""
        formula = layers + " · ".join(map(str, shape))
        rows.append(ParameterRow(kind, formula, number * math.prod(shape)))
    return rows
