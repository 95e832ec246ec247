"""The method `adapter_l`: one adapter a block (Lin et al. 2020; AdapterL of Hu et al. 2021).

    y ← y + W_u ReLU(W_d LN(y) + b_d) + b_u

behind each MLP and before its residual connection, with a layer norm of its own: L · (2 d r + r + d
+ 2 d) parameters for L blocks of width d and bottleneck r. GPT-2 Medium has 368,784 with r = 6 and
11,089,152 with r = 224, as the LoRA paper prints (0.37M, 11.09M).
"""

from dataclasses import dataclass

from torch import Tensor, nn
from transformers import GPT2LMHeadModel
from transformers.models.gpt2.modeling_gpt2 import GPT2MLP

from lora_lightning.gpt2.forward import blocks_of
from lora_lightning.gpt2.mlp import mlp
from lora_lightning.methods.bottleneck import Bottleneck, bottleneck_row
from lora_lightning.methods.layer import AdapterLayer
from lora_lightning.methods.method import ParameterRow
from lora_lightning.ranges import Count, ranged


class AdaptedMLP(AdapterLayer):
    """An MLP with an adapter behind it.

    Args:
        base: the MLP.
        bottleneck: r.
    """

    base: GPT2MLP

    def __init__(self, base: GPT2MLP, bottleneck: int) -> None:
        super().__init__()
        self.base = base
        weight = base.c_proj.weight
        self.adapter = Bottleneck(weight.shape[1], bottleneck, has_norm=True, like=weight)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., width) to (..., width)."""
        y = mlp(self.base, x.reshape(-1, x.shape[-1])).view(x.shape)
        adapted: Tensor = self.adapter(y)
        return adapted


@ranged("method")
@dataclass(frozen=True)
class AdapterL:
    """One trained adapter behind the MLP of every block; all else is frozen.

    Attributes:
        bottleneck: features of the narrow layer, r.
    """

    bottleneck: Count

    def apply(self, model: GPT2LMHeadModel) -> None:
        """Freeze `model` and put an adapter behind each MLP."""
        model.requires_grad_(False)
        for block in blocks_of(model.transformer):
            block.mlp = AdaptedMLP(block.mlp, self.bottleneck)

    def parameter_table(self, model: nn.Module) -> list[ParameterRow]:
        """Return one row."""
        adapters = [m.adapter for m in model.modules() if isinstance(m, AdaptedMLP)]
        return [bottleneck_row("transformer.h.*.mlp.adapter", adapters)]
