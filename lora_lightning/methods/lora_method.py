"""The method `lora`: a frozen base and trained low-rank updates."""

from collections import defaultdict
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from lora_lightning.errors import InputError
from lora_lightning.methods.biases import Bias, trained_biases
from lora_lightning.methods.exceptions import Exceptions, check_exceptions
from lora_lightning.methods.initial import Init
from lora_lightning.methods.inject import inject_lora, lora_layers
from lora_lightning.methods.lora import LoRALayer
from lora_lightning.methods.method import ParameterRow, tensor_rows
from lora_lightning.methods.targets import SLICES, name_pattern
from lora_lightning.ranges import Count, Probability, Scale, Texts, ranged

IN_FORMULAS = ("lora_A", "lora_B", "lora_magnitude_vector")


@ranged("method")
@dataclass(frozen=True)
class LoRA:
    """Low-rank adaptation (Hu et al. 2021) of chosen projections; all else is frozen.

    Attributes:
        rank: rank of each update, from 1 to the smaller side of the projection's slice.
        alpha: scaling numerator, above 0; updates are scaled by alpha / rank.
        dropout: dropout probability of the updates' input, from 0 to below 1.
        targets: `q`, `k`, `v` (slices of `c_attn`) and names, or last parts of names, of any
            `Linear` or `Conv1D`.
        bias: which biases are trained too: `none`, `lora_only` (of adapted projections) or `all`.
        exceptions: targets of another rank or alpha, see `exceptions.py`.
        init: initial values of A and B, see `initial.py`.

    Raises:
        InputError: a value is out of its range, or does not go with `init`; it names the `method.`
            key.
    """

    choice: ClassVar[str] = "lora"
    layer_type: ClassVar[type[LoRALayer]] = LoRALayer

    rank: Count
    alpha: Scale
    dropout: Probability
    targets: Texts
    bias: Bias = "none"
    exceptions: Exceptions = ()
    init: Init = "kaiming"

    def __post_init__(self) -> None:
        check_exceptions(self.exceptions)
        ranks = [self.rank, *(e["rank"] for e in self.exceptions if "rank" in e)]
        if self.init == "orthogonal" and (odd := [r for r in ranks if int(r) % 2]):  # type: ignore[arg-type]
            raise InputError(
                f"method.init=orthogonal divides a rank into halves, and {odd[0]} is odd; set an "
                "even method.rank, or another method.init"
            )

    def apply(self, model: nn.Module) -> None:
        """Freeze `model` and put adapted layers around its targets.

        Raises:
            InputError: a target cannot be adapted, or the rank is too large; the model is left
                as it was.
        """
        inject_lora(
            model,
            self.rank,
            self.alpha,
            self.dropout,
            self.targets,
            self.layer_type,
            self.exceptions,
            self.init,
        )
        for tensor in trained_biases(model, self.bias).values():
            tensor.requires_grad_(True)

    @staticmethod
    def stacked_alpha(count: int, alpha: float) -> float:
        """Return the alpha that scales one update of rank count · rank as `alpha` does ours."""
        return count * alpha

    def parameter_table(self, model: nn.Module) -> list[ParameterRow]:
        """Return one row for each kind of adapted projection, with the formula of its count."""
        kinds: dict[tuple[str, int, int, int], list[LoRALayer]] = defaultdict(list)
        for name, layer in lora_layers(model).items():
            shape = layer.in_features, layer.slice_features, layer.rank
            kinds[name_pattern(name), *shape].append(layer)
        rows = [self._row(kind, layers) for (kind, *_), layers in kinds.items()]
        further = [pair for pair in model.named_parameters() if self._is_further(*pair)]
        return rows + tensor_rows([*further, *trained_biases(model, self.bias).items()])

    def slice_formula(self, layer: LoRALayer) -> str:
        """Return how the number of parameters of one slice of `layer` comes about."""
        return f"rank {layer.rank} · (in {layer.in_features} + out {layer.slice_features})"

    def _row(self, kind: str, layers: list[LoRALayer]) -> ParameterRow:
        first = layers[0]
        sliced = first.num_slices == len(SLICES)
        names = f" [{', '.join(SLICES[j] for j in first.slices)}]" if sliced else ""
        slices = f" · {len(first.slices)} slices" if sliced else ""
        frozen = "" if first.lora_A.requires_grad else ", A frozen"
        return ParameterRow(
            kind + names,
            f"{len(layers)} layers{slices} · {self.slice_formula(first)}{frozen}",
            sum(
                parameter.numel()
                for layer in layers
                for leaf, parameter in layer.adapter_parameters().items()
                if leaf in IN_FORMULAS and parameter.requires_grad
            ),
        )

    def _is_further(self, name: str, parameter: nn.Parameter) -> bool:
        """Whether a subclass trains a parameter that no formula counts."""
        leaf = name.rpartition(".")[2]
        return parameter.requires_grad and leaf not in (*IN_FORMULAS, "bias")
