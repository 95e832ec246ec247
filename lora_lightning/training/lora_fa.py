"""LoRA-FA (Zhang et al. 2023, arXiv 2308.03303): A stays as it was drawn, B alone is trained.

    g_B ← g_B (A Aᵀ)⁻¹ / s²

is the gradient of B with which the update s·B A moves as closely as it can to where full
fine-tuning would move the weight (as PEFT has it); AdamW takes it from there. A has neither
gradient nor moments.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from lora_lightning.methods.inject import lora_layers
from lora_lightning.ranges import PositiveShare, Rate, ranged
from lora_lightning.training.lora_pairs import LoRAPair, damped_inverses, no_lora
from lora_lightning.training.optimizers import (
    Betas,
    NamedParameters,
    OptimizerMaker,
    ReferenceAdamW,
    called,
    gradients_of,
)

DAMPING = 1e-8
"""Added to the diagonal of A Aᵀ, as in PEFT."""


class LoRAFAOptimizer(ReferenceAdamW):
    """AdamW, decay after the update, over the gradients of B as they stand above.

    Args:
        pairs: A, frozen, and B of each layer.
        scales: s of each layer.
        settings: of `ReferenceAdamW`.
    """

    def __init__(self, pairs: Sequence[LoRAPair], scales: Sequence[float], **settings: Any) -> None:
        super().__init__(**settings)
        self.scales = scales
        self.pairs = pairs
        self.inverses: list[Tensor] = []

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Project the gradients of B, and update; a closure comes first."""
        loss = called(closure)
        if not self.inverses:  # A never changes
            downs = [pair.down_blocks(pair.down.float()) for pair in self.pairs]
            self.inverses = damped_inverses([down @ down.mT for down in downs], DAMPING)
        for pair, scale, inverse in zip(self.pairs, self.scales, self.inverses, strict=True):
            if pair.up.grad is not None:
                [gradient] = gradients_of([pair.up])
                projected = pair.up_blocks(gradient.float()) @ inverse
                gradient.copy_(projected.flatten(0, 1) / scale**2)
        super().step()
        return loss


@ranged("optimizer")
@dataclass
class LoRAFA(OptimizerMaker):
    """Builds the optimizer, once `prepare` has seen the model.

    Attributes:
        lr: learning rate.
        weight_decay: decay an update, as a multiple of the rate.
        betas: decay rates of the gradient's two moments.
        eps: added to the root of the second moment, before its bias is corrected.
    """

    lr: Rate
    weight_decay: Rate
    betas: Betas
    eps: PositiveShare
    layers: dict[str, tuple[LoRAPair, float]] = field(default_factory=dict, init=False)

    def prepare(self, model: nn.Module) -> None:
        """Freeze the A of every LoRA layer of `model`.

        Raises:
            InputError: there is none.
        """
        for name, layer in lora_layers(model).items():
            layer.lora_A.requires_grad_(False)
            self.layers[name] = LoRAPair(layer.lora_A, layer.lora_B), float(layer.scale)
        if not self.layers:
            raise no_lora("lora_fa")

    def __call__(self, named_parameters: NamedParameters) -> LoRAFAOptimizer:
        """Return the optimizer over what is trained."""
        beta1, beta2 = self.betas
        parameters: list[Parameter] = [parameter for _, parameter in named_parameters]
        return LoRAFAOptimizer(
            [pair for pair, _ in self.layers.values()],
            [scale for _, scale in self.layers.values()],
            params=parameters,
            lr=self.lr,
            betas=(beta1, beta2),
            eps=self.eps,
            weight_decay=self.weight_decay,
            correct_bias=True,
        )
