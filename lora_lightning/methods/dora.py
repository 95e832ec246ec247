"""The method `dora`: weight-decomposed low-rank adaptation (Liu et al. 2024, DoRA, section 4)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from lora_lightning.errors import InputError
from lora_lightning.methods.initial import STARTED
from lora_lightning.methods.lora import LoRALayer, Projection
from lora_lightning.methods.lora_method import LoRA
from lora_lightning.methods.targets import Adaptation, find_targets
from lora_lightning.ranges import ranged


class DoRALayer(LoRALayer):
    """A frozen projection whose adapted slices have a trained magnitude and a low-rank direction.

    For every output feature of an adapted slice, with its column w of W and δ = s · Aᵀ b, b its
    column of Bᵀ:

        w' = g · (w + δ),    g = m / ‖w + δ‖,    s = alpha / rank

    The magnitude m is trained and starts at ‖w‖, so that the layer starts as its base. As in the
    paper (section 4.3) and in PEFT, ‖w + δ‖ counts as a constant in the backward pass.

    While training with dropout, x̃ = dropout(x) enters all that is not the base's own output:

        y = x W + bias + (g - 1) · x̃ W + g · s · (x̃ Aᵀ) Bᵀ

    which without dropout is x W' + bias. Every other slice is the base's; it has no magnitude.

    Stacking and arguments are those of `LoRALayer`; `lora_magnitude_vector` (slices·slice_out,) is
    stacked as `lora_B` is. Norms, magnitudes and their quotients are fp32 whatever the dtype of W.
    """

    def __init__(
        self,
        base: Projection,
        rank: int,
        alpha: float,
        dropout: float = 0.0,
        slices: Sequence[int] = (0,),
        num_slices: int = 1,
    ) -> None:
        super().__init__(base, rank, alpha, dropout, slices, num_slices)
        self.lora_magnitude_vector = nn.Parameter(self.take_adapted(self.direction_norm()))

    def forward(self, x: Tensor) -> Tensor:
        """Project `x` (..., in) to (..., out)."""
        frozen = self.base(x)  # (..., out)
        if self.merged:
            return frozen
        dropped, gain = self.dropout(x), self.gain()
        if self.training and self.dropout.p > 0:
            weight = self.base.weight.to(x.dtype)
            unbiased = F.linear(dropped, weight.T if isinstance(self.base, Conv1D) else weight)
        else:
            bias = self.base.bias
            unbiased = frozen if bias is None else frozen - bias.to(frozen.dtype)
        updated = self.add_update(frozen, dropped, gain * self.expansion())
        # Where the gain is 1 the base's output stays to the bit.
        return updated + (gain - 1).to(frozen.dtype) * unbiased

    def gain(self) -> Tensor:
        """Return g of every output feature: (out,), exactly 1 where nothing is adapted."""
        norm = self.direction_norm()
        gain = self.lora_magnitude_vector / self.take_adapted(norm)
        return self.replace_adapted(torch.ones_like(norm), gain)

    def magnitude(self) -> Tensor:
        """Return m of every output feature: (out,), fp32, with ‖w‖ where nothing is adapted.

        A DoRA of the whole projection has these magnitudes where it computes the same.
        """
        return self.replace_adapted(self.direction_norm(), self.lora_magnitude_vector)

    @torch.no_grad()
    def direction_norm(self) -> Tensor:
        """Return ‖w + δ‖ of every output feature: (out,), fp32, a constant for autograd."""
        return torch.linalg.vector_norm(self._direction(), dim=input_dimension(self.base))

    def delta_weight(self) -> Tensor:
        """Return what merging adds to the base weight: fp32, in that weight's layout."""
        direction = self._direction()
        gain = self.gain() if isinstance(self.base, Conv1D) else self.gain()[:, None]
        return gain * direction - self._frozen_weight()

    def delta_norm(self) -> Tensor:
        """Return the Frobenius norm of `delta_weight`, ()."""
        return torch.linalg.vector_norm(self.delta_weight())

    def take_adapted(self, features: Tensor) -> Tensor:
        """Return the entries of `features` (out,) that belong to adapted slices, stacked."""
        parts = features.split(self.slice_features)
        return torch.cat([parts[position] for position in self.slices])

    def replace_adapted(self, features: Tensor, adapted: Tensor) -> Tensor:
        """Return `features` (out,) with stacked entries in the place of adapted slices."""
        parts = list(features.split(self.slice_features))
        blocks = adapted.split(self.slice_features)
        for block, position in zip(blocks, self.slices, strict=True):
            parts[position] = block
        return torch.cat(parts)

    def _direction(self) -> Tensor:
        return self._frozen_weight() + super().delta_weight()

    def _frozen_weight(self) -> Tensor:
        """Return the base weight in fp32, without the update also where it is merged."""
        weight = self.base.weight.detach()
        if self.base_slices is not None:
            weight = weight.clone()
            self._by_slice(weight)[:, list(self.slices)] = self.base_slices
        return weight.float()


@ranged("method")
@dataclass(frozen=True)
class DoRA(LoRA):
    """DoRA of chosen projections; attributes and errors as in `LoRA`."""

    choice = "dora"
    layer_type = DoRALayer

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.init in STARTED:
            raise InputError(
                f"method.init={self.init} with method=dora: magnitudes would be of another weight "
                "than the one that is trained; set method=lora or rslora, or another method.init"
            )

    def apply(self, model: nn.Module) -> None:
        """Freeze `model` and put adapted layers around its targets.

        Raises:
            InputError: as `LoRA.apply`, or an output feature of a target has no direction.
        """
        for name, adaptation in find_targets(model, self.targets).items():
            _require_directions(name, adaptation)
        super().apply(model)

    def slice_formula(self, layer: LoRALayer) -> str:
        """Return how the number of parameters of one slice of `layer` comes about."""
        return f"({super().slice_formula(layer)} + magnitude {layer.slice_features})"


def input_dimension(base: Projection) -> int:
    """Return which dimension of the weight runs over the input features."""
    return 0 if isinstance(base, Conv1D) else 1


def _require_directions(name: str, adaptation: Adaptation) -> None:
    base = adaptation.projection
    if base.weight.is_meta:
        return
    is_zero = (base.weight == 0).all(dim=input_dimension(base))  # (out,)
    count = int(is_zero.view(adaptation.num_slices, -1)[list(adaptation.slices)].sum())
    if count:
        raise InputError(
            f"method.targets: {count} output features of {name} have only zeros as weights, so "
            "DoRA has no direction to scale; leave it out, or set method=lora"
        )
