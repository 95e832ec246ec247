"""Which modules of several models are one, and which differ from a frozen projection by little."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from lora_lightning.gpt2.precision import is_plain
from lora_lightning.gpt2.projection import GPT2Projection
from lora_lightning.methods.dropout import CheapDropout
from lora_lightning.methods.layer import AdapterLayer
from lora_lightning.methods.lora import LoRALayer


def are_one(modules: Sequence[nn.Module]) -> bool:
    """Whether modules do the same with the same frozen tensors."""
    first = modules[0]
    return all(
        type(module) is type(first)
        and not is_trained(module)
        and addresses(module) == addresses(first)
        and all(is_plain(part, type(part)) for part in module.modules())
        for module in modules
    )


def frozen_projection(module: nn.Module) -> GPT2Projection | None:
    """Return the frozen projection whose product a module needs, None where it is no such thing.

    What it adds to the product, if anything, is a low-rank update.
    """
    base: Any = module
    if isinstance(module, LoRALayer):
        kind, base = type(module), module.base
        is_known = kind.forward is LoRALayer.forward and kind.add_update is LoRALayer.add_update
        is_plain_dropout = is_plain(module.dropout, CheapDropout) and module.dropout.p < 1
        if not (is_known and is_plain_dropout and is_plain(module, kind)) or module.merged:
            return None
        if isinstance(module.scale, Tensor):
            return None
    if not is_plain(base, GPT2Projection) or is_trained(base):
        return None
    projection: GPT2Projection = base
    return projection


def projection_within(module: nn.Module) -> GPT2Projection | None:
    """Return the projection of a frozen weight that a module is, or that a layer stands around."""
    base: Any = module
    if isinstance(module, AdapterLayer):
        base = module.base
    elif hasattr(module, "get_base_layer"):  # one of PEFT's
        of_peft: Any = module
        base = of_peft.get_base_layer()
    if not is_plain(base, GPT2Projection) or base.weight.requires_grad:
        return None
    projection: GPT2Projection = base
    return projection


def addresses(module: nn.Module) -> tuple[int, ...]:
    """Return where the tensors of a module lie, which tells frozen ones from others."""
    return tuple(t.data_ptr() for t in (*module.parameters(), *module.buffers()))


def is_trained(module: nn.Module) -> bool:
    """Whether any of its parameters is."""
    return any(parameter.requires_grad for parameter in module.parameters())
