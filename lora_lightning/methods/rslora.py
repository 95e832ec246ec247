"""The method `rslora`: LoRA with a scale that suits every rank.

From Kalajdzievski 2023, A Rank Stabilization Scaling Factor for Fine-Tuning with LoRA. It is LoRA
with

    s = alpha / √rank

in place of alpha / rank, so that neither outputs nor gradients shrink as the rank grows. The scale
of the released LoRA settings, rank 4 and alpha 32, is here that of alpha 16.
"""

import math
from dataclasses import dataclass

from lora_lightning.methods.lora import LoRALayer
from lora_lightning.methods.lora_method import LoRA
from lora_lightning.ranges import ranged


class RSLoRALayer(LoRALayer):
    """`LoRALayer` with s = alpha / √rank."""

    @staticmethod
    def scale_of(rank: int, alpha: float) -> float:
        """Return alpha / √rank."""
        return alpha / math.sqrt(rank)


@ranged("method")
@dataclass(frozen=True)
class RSLoRA(LoRA):
    """LoRA whose updates are scaled by alpha / √rank; attributes and errors as in `LoRA`."""

    choice = "rslora"
    layer_type = RSLoRALayer

    @staticmethod
    def stacked_alpha(count: int, alpha: float) -> float:
        """Return √count · alpha: alpha / √rank stays where the rank is count times as large."""
        return math.sqrt(count) * alpha
