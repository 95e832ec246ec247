"""What both kinds of adapters share: two projections through a narrow layer, added to the input.

    f(y) = y + W_u ReLU(W_d n(y) + b_d) + b_u

with n a layer norm of its own, or nothing. W_u and b_u start at zero, so that f(y) = y.
"""

from collections.abc import Iterable

import torch.nn.functional as F
from torch import Tensor, nn

from lora_lightning.gpt2.precision import mixed_layer_norm
from lora_lightning.methods.method import ParameterRow


class MixedLinear(nn.Linear):
    """A projection in the dtype of its input, whatever its own tensors have."""

    def forward(self, input: Tensor) -> Tensor:
        """Map (..., in) to (..., out)."""
        return F.linear(input, self.weight.to(input.dtype), self.bias.to(input.dtype))


class Bottleneck(nn.Module):
    """The adapter f; its tensors are fp32, and computed in the dtype of the activations.

    Args:
        width: features of y.
        size: features of the narrow layer.
        has_norm: whether n is a layer norm.
        like: a tensor on whose device the adapter's are made.
    """

    def __init__(self, width: int, size: int, has_norm: bool, like: Tensor) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, device=like.device) if has_norm else None
        self.down = MixedLinear(width, size, device=like.device)
        self.up = MixedLinear(size, width, device=like.device)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, y: Tensor) -> Tensor:
        """Map (..., width) to (..., width)."""
        normed = y if self.norm is None else mixed_layer_norm(self.norm, y)
        widened: Tensor = self.up(F.relu(self.down(normed)))
        return y + widened


def bottleneck_row(kind: str, adapters: Iterable[Bottleneck]) -> ParameterRow:
    """Return the row of adapters that are all of one shape."""
    adapters = list(adapters)
    width, size = adapters[0].up.out_features, adapters[0].down.out_features
    norm = "" if adapters[0].norm is None else f" + norm 2 · {width}"
    formula = f"{len(adapters)} adapters · (2 · {width} · {size} + {size} + {width}{norm})"
    return ParameterRow(kind, formula, sum(p.numel() for a in adapters for p in a.parameters()))
