"""The method `lora`: a frozen base and trained low-rank updates."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from lora_lightning.errors import InputError
from lora_lightning.methods.inject import inject_lora, lora_layers
from lora_lightning.methods.lora import LoRALayer
from lora_lightning.methods.method import ParameterRow
from lora_lightning.methods.targets import SLICES, name_pattern


@dataclass(frozen=True)
class LoRA:
    """Low-rank adaptation (Hu et al. 2021) of chosen projections; all else is frozen.

    Attributes:
        rank: rank of each update, from 1 to the smaller side of the projection's slice.
        alpha: scaling numerator, above 0; updates are scaled by alpha / rank.
        dropout: dropout probability of the updates' input, from 0 to below 1.
        targets: `q`, `k`, `v` (slices of `c_attn`) and names, or last parts of names, of any
            `Linear` or `Conv1D`.

    Raises:
        InputError: a value is out of its range; it names the `method.` key.
    """

    rank: int
    alpha: float
    dropout: float
    targets: Sequence[str]

    def __post_init__(self) -> None:
        if not isinstance(self.rank, int) or self.rank < 1:
            raise InputError(f"method.rank={self.rank} must be a whole number from 1")
        if not isinstance(self.alpha, int | float) or not 0 < self.alpha < float("inf"):
            raise InputError(f"method.alpha={self.alpha} must be a number above 0")
        if not isinstance(self.dropout, int | float) or not 0 <= self.dropout < 1:
            raise InputError(f"method.dropout={self.dropout} must be from 0 to below 1")
        if isinstance(self.targets, str) or not self.targets:
            raise InputError(
                f"method.targets={self.targets!r} must be a list of names, such as [q,v]"
            )

    def apply(self, model: nn.Module) -> None:
        """Freeze `model` and put LoRA layers around its targets."""
        inject_lora(model, self.rank, self.alpha, self.dropout, self.targets)

    def parameter_table(self, model: nn.Module) -> list[ParameterRow]:
        """Return one row for each kind of adapted projection, with the formula of its count."""
        kinds: dict[tuple[str, int, int], list[LoRALayer]] = defaultdict(list)
        for name, layer in lora_layers(model).items():
            kinds[name_pattern(name), layer.in_features, layer.slice_features].append(layer)
        return [_row(kind, layers) for (kind, _, _), layers in kinds.items()]


def _row(kind: str, layers: list[LoRALayer]) -> ParameterRow:
    first = layers[0]
    sliced = first.num_slices == len(SLICES)
    names = f" [{', '.join(SLICES[j] for j in first.slices)}]" if sliced else ""
    slices = f" · {len(first.slices)} slices" if sliced else ""
    return ParameterRow(
        kind + names,
        f"{len(layers)} layers{slices} · rank {first.rank} · "
        f"(in {first.in_features} + out {first.slice_features})",
        sum(layer.lora_A.numel() + layer.lora_B.numel() for layer in layers),
    )
