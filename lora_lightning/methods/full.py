"""The method `full`: every parameter of the base is trained."""

from collections import defaultdict
from dataclasses import dataclass

from torch import nn

from lora_lightning.methods.method import ParameterRow
from lora_lightning.methods.targets import name_pattern


@dataclass(frozen=True)
class Full:
    """Fine-tuning of the whole model."""

    def apply(self, model: nn.Module) -> None:
        """Make every parameter of `model` trainable."""
        model.requires_grad_(True)

    def parameter_table(self, model: nn.Module) -> list[ParameterRow]:
        """Return one row for each kind of parameter; tied weights count once."""
        kinds: dict[tuple[str, tuple[int, ...]], int] = defaultdict(int)
        for name, parameter in model.named_parameters():
            kinds[name_pattern(name), tuple(parameter.shape)] += 1
        rows = []
        for (kind, shape), number in kinds.items():
            layers = f"{number} layers · " if number > 1 else ""
            count = number
            for size in shape:
                count *= size
            rows.append(ParameterRow(kind, layers + " · ".join(map(str, shape)), count))
        return rows
