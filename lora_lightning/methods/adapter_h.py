"""The method `adapter_h`: two adapters a block (Houlsby et al. 2019; AdapterH of Hu et al. 2021).

    y ← y + W_u ReLU(W_d y + b_d) + b_u

behind the attention's and the MLP's output projection and before their residual connections:
2 L · (2 d r + r + d) parameters for L blocks of width d and bottleneck r. The LoRA paper prints
11.09M for GPT-2 Medium and no r; r = 112 without any layer norm trained is the nearest by its
formula, 11,064,576, 0.2% less.
"""

from dataclasses import dataclass

from torch import Tensor, nn
from transformers import GPT2LMHeadModel

from lora_lightning.gpt2.forward import blocks_of
from lora_lightning.methods.bottleneck import Bottleneck, bottleneck_row
from lora_lightning.methods.layer import AdapterLayer
from lora_lightning.methods.lora import Projection, projection_features
from lora_lightning.methods.method import ParameterRow
from lora_lightning.ranges import Count, ranged


class AdaptedProjection(AdapterLayer):
    """A projection with an adapter behind it.

    Args:
        base: the projection.
        bottleneck: r.
    """

    base: Projection
    only_calls_base = True

    def __init__(self, base: Projection, bottleneck: int) -> None:
        super().__init__()
        self.base = base
        _, width = projection_features(base)
        self.adapter = Bottleneck(width, bottleneck, has_norm=False, like=base.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in) to (..., width)."""
        adapted: Tensor = self.adapter(self.base(x))
        return adapted


@ranged("method")
@dataclass(frozen=True)
class AdapterH:
    """Trained adapters behind the attention and the MLP of every block; all else is frozen.

    Attributes:
        bottleneck: features of the narrow layers, r.
    """

    bottleneck: Count

    def apply(self, model: GPT2LMHeadModel) -> None:
        """Freeze `model` and put the adapters behind its output projections."""
        model.requires_grad_(False)
        for block in blocks_of(model.transformer):
            block.attn.c_proj = AdaptedProjection(block.attn.c_proj, self.bottleneck)
            block.mlp.c_proj = AdaptedProjection(block.mlp.c_proj, self.bottleneck)

    def parameter_table(self, model: nn.Module) -> list[ParameterRow]:
        """Return one row."""
        adapters = [m.adapter for m in model.modules() if isinstance(m, AdaptedProjection)]
        return [bottleneck_row("transformer.h.*.{attn,mlp}.c_proj.adapter", adapters)]
