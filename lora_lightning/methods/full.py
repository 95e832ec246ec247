"""The method `full`: every parameter of the base is trained."""

from dataclasses import dataclass

from torch import nn

from lora_lightning.methods.method import ParameterRow, tensor_rows


@dataclass(frozen=True)
class Full:
    """Fine-tuning of the whole model."""

    def apply(self, model: nn.Module) -> None:
        """Make every parameter of `model` trainable."""
        model.requires_grad_(True)

    def parameter_table(self, model: nn.Module) -> list[ParameterRow]:
        """Return one row for each kind of parameter; tied weights count once."""
        return tensor_rows(model.named_parameters())
