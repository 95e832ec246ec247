"""What a training method offers to the commands."""

from dataclasses import dataclass
from typing import Protocol

from torch import nn


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
