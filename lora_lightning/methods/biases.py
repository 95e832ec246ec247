"""Training biases of the base beside an adapter, as PEFT's `bias` does.

| bias        | which are trained                                              |
|-------------|----------------------------------------------------------------|
| `none`      | none                                                           |
| `lora_only` | those of adapted projections, whole (with slices q, v also k's) |
| `all`       | every bias of the model, layer norms included                  |

A trained bias stays in the base, so merging does not concern it. It belongs to the adapter all the
same: it is saved with it, and does not count where one base is told from another.
"""

from typing import Literal, get_args

from torch import Tensor, nn

from lora_lightning.methods.base import base_tensors
from lora_lightning.methods.inject import lora_layers

Bias = Literal["none", "lora_only", "all"]
CHOICES = get_args(Bias)
LEAF = "bias"


def trained_biases(model: nn.Module, bias: Bias) -> dict[str, Tensor]:
    """Return the biases that `bias` names, by the names of `base_tensors`.

    Args:
        model: with its adapters in place.
        bias: see the table above.
    """
    biases = {
        name: tensor
        for name, tensor in base_tensors(model).items()
        if name.rpartition(".")[2] == LEAF
    }
    if bias == "all":
        return biases
    adapted = lora_layers(model) if bias == "lora_only" else {}
    return {name: biases[name] for name in biases if name.rpartition(".")[0] in adapted}
