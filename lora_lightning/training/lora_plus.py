"""LoRA+ (Hayou et al. 2024): AdamW with a larger rate for LoRA's B than for its A.

    rate of A = lr,    rate of B = lr_ratio · lr

At the usual initialisation, A random and B zero, one rate for both lets B learn too slowly in wide
models (section 4). Vectors, which are biases and DoRA's magnitudes, have the rate of B, and biases
no decay, as in the authors' code and in PEFT. A schedule multiplies both rates.
"""

from typing import Any

from torch.nn import Parameter
from torch.optim import AdamW

from lora_lightning.ranges import PositiveShare, Rate, Scale, ranged
from lora_lightning.training.lora_pairs import UP, no_lora
from lora_lightning.training.optimizers import Betas, NamedParameters, decay_groups


@ranged("optimizer")
def lora_plus(
    named_parameters: NamedParameters,
    lr: Rate,
    lr_ratio: Scale,
    weight_decay: Rate,
    betas: Betas,
    eps: PositiveShare,
) -> AdamW:
    """Build torch's AdamW over the groups of LoRA+.

    Args:
        named_parameters: what the method trains.
        lr: the rate of A.
        lr_ratio: the rate of B as a multiple of it.
        weight_decay: as torch's, of all but biases.
        betas: as torch's.
        eps: as torch's.

    Raises:
        InputError: nothing trained is a B of LoRA.
    """
    if not any(_is_b(name) for name, _ in named_parameters):
        raise no_lora("lora_plus")
    slow = [pair for pair in named_parameters if not _is_fast(*pair)]
    fast = [pair for pair in named_parameters if _is_fast(*pair)]
    groups: list[dict[str, Any]] = [
        {"lr": rate} | group
        for rate, pairs in ((lr, slow), (lr_ratio * lr, fast))
        for group in decay_groups(pairs, weight_decay, no_decay_bias=True)
    ]
    beta1, beta2 = betas
    return AdamW(groups, lr=lr, betas=(beta1, beta2), eps=eps)


def _is_b(name: str) -> bool:
    return name.rpartition(".")[2] == UP


def _is_fast(name: str, parameter: Parameter) -> bool:
    return _is_b(name) or parameter.dim() == 1
