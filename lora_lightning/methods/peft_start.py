"""The second adapter that takes off what the first values of PEFT's LoRA add.

Initialisations that change the base take s · B₀ A₀ off its weight. Here the weight gets its values
back, and a second adapter of PEFT's, frozen and without dropout, takes the same off the output: the
sum is the same, and in files the adapter is the plain LoRA of rank 2r that PEFT's own conversion
makes, on the untouched base.
"""

import copy
import math
from collections.abc import Mapping
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

START = "start"
"""Its name."""


def lora_layers_of(wrapped: Any) -> dict[str, Any]:
    """Return PEFT's LoRA layers by the name of the module in whose place they stand."""
    base = wrapped.base_model.model
    return {name: module for name, module in base.named_modules() if isinstance(module, LoraLayer)}


def weights(model: nn.Module) -> dict[int, Tensor]:
    """Return a copy of the matrices that PEFT may change, by the parameter's id."""
    return {id(p): p.detach().clone() for p in model.parameters() if p.dim() == 2}


def give_back(wrapped: Any, name: str, before: Mapping[int, Tensor]) -> None:
    """Give the base its weights back, and put the second adapter beside the first.

    Args:
        wrapped: PEFT's model whose base the initialisation changed.
        name: of the first adapter.
        before: what `weights` gave before.
    """
    add_start(wrapped, name)
    for layer in lora_layers_of(wrapped).values():
        weight = layer.get_base_layer().weight
        weight.data = before[id(weight)]
        layer.lora_A[START].weight.data = layer.lora_A[name].weight.detach().clone()
        layer.lora_B[START].weight.data = -layer.lora_B[name].weight.detach()


def add_start(wrapped: Any, name: str) -> None:
    """Put the second adapter, of zeros, beside the first; does nothing if it is there."""
    config = copy.deepcopy(wrapped.peft_config[name])
    config.lora_dropout, config.init_lora_weights, config.lora_bias = 0.0, True, False
    for layer in lora_layers_of(wrapped).values():
        if START in layer.lora_A:
            continue
        with torch.random.fork_rng(devices=[]):  # PEFT draws values that are replaced
            layer.update_layer(START, layer.r[name], layer.lora_alpha[name], config=config)
        layer.set_adapter([name, START])
        for matrices in (layer.lora_A, layer.lora_B):
            like = matrices[name].weight
            matrices[START].weight = nn.Parameter(torch.zeros_like(like), requires_grad=False)
            like.requires_grad_(True)


def start_state(wrapped: Any) -> dict[str, Tensor]:
    """Return the tensors of the second adapter, none where there is none."""
    return {
        f"base_model.model.{layer}.{matrix}.{START}.weight": getattr(module, matrix)[START].weight
        for layer, module in lora_layers_of(wrapped).items()
        for matrix in ("lora_A", "lora_B")
        if START in getattr(module, matrix)
    }


def joined(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return both adapters as one of twice the rank, as PEFT's files have it."""
    result = {name: tensor for name, tensor in state.items() if f".{START}." not in name}
    for name, start in state.items():
        if f".{START}." in name:
            first = name.replace(f".{START}.", ".")
            result[first] = torch.cat([state[first], start], dim=_dimension(name))
    return result


def parted(tensors: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what `joined` joined.

    Args:
        tensors: of a file.
        state: of the model that takes them, with the ranks of each adapter.
    """
    result = dict(tensors)
    for name in state:
        if f".{START}." in name:
            first = name.replace(f".{START}.", ".")
            result[first], result[name] = tensors[first].chunk(2, dim=_dimension(name))
    return result


def _dimension(name: str) -> int:
    return 0 if "lora_A" in name else 1


def config_in_files(wrapped: Any, name: str) -> Any:
    """Return the configuration with which PEFT reads what `joined` gives."""
    config = copy.deepcopy(wrapped.peft_config[name])
    if not start_state(wrapped):
        return config
    factor = math.sqrt(2) if config.use_rslora else 2
    config.r, config.lora_alpha = 2 * config.r, factor * config.lora_alpha
    config.rank_pattern = {key: 2 * rank for key, rank in (config.rank_pattern or {}).items()}
    config.alpha_pattern = {key: factor * a for key, a in (config.alpha_pattern or {}).items()}
    config.init_lora_weights = True
    config.corda_config = config.lora_ga_config = None
    return config
