"""What AdaLoRA needs of a training loop (Zhang et al. 2023), with PEFT's own arithmetic.

Each update is P Λ Q. A penalty keeps P and Q orthogonal,

    R = weight · mean over all P and Q of ‖Pᵀ P - I‖, ‖Q Qᵀ - I‖

and after each update the least important entries of Λ become 0, as many as the budget says.
"""

from typing import Annotated, Any

import torch
from annotated_types import Gt, Lt
from peft import AdaLoraConfig
from torch import Tensor, nn

from lora_lightning import ranges
from lora_lightning.errors import InputError
from lora_lightning.ranges import Count, CountOrZero

Average = Annotated[float, Gt(0), Lt(1)]
KEPT = ("ipt", "exp_avg_ipt", "exp_avg_unc")  # of PEFT's RankAllocator: importances by tensor


def is_adalora(config: Any) -> bool:
    """Whether a configuration of PEFT is AdaLoRA's."""
    return isinstance(config, AdaLoraConfig)


def check(config: Any) -> None:
    """Check the settings of a configuration that PEFT takes as they come.

    Raises:
        InputError: one is out of its range; the message names its key.
    """
    if not is_adalora(config):
        return
    for name in ("init_r", "target_r", "deltaT"):
        ranges.check(f"method.config.{name}", getattr(config, name), Count)
    for name in ("tinit", "tfinal"):
        ranges.check(f"method.config.{name}", getattr(config, name), CountOrZero)
    for name in ("beta1", "beta2"):
        ranges.check(f"method.config.{name}", getattr(config, name), Average)
    if config.target_r > config.init_r:
        raise InputError(
            f"method.config.target_r={config.target_r} is more than method.config.init_r="
            f"{config.init_r}, from which ranks fall; lower it, or raise the other"
        )


def begin(config: Any, updates: int) -> None:
    """Set the length of the run, by which the budget falls.

    Raises:
        InputError: no update is left in which it may fall.
    """
    if not is_adalora(config):
        return
    if max(config.tinit, 1) >= updates - config.tfinal:  # the first only tells what matters
        raise InputError(
            f"method.config.tinit={config.tinit} and method.config.tfinal={config.tfinal} leave "
            f"none of the run's {updates} updates in which ranks may fall; lower them, or train "
            "longer"
        )
    config.total_step = updates


def penalty(model: nn.Module, config: Any) -> Tensor | None:
    """Return R of a model that PEFT adapted, (); None for another tuner."""
    if not is_adalora(config):
        return None
    distances = []
    for name, parameter in model.named_parameters():
        if "lora_A" in name or "lora_B" in name:
            product = parameter @ parameter.T if "lora_A" in name else parameter.T @ parameter
            identity = torch.eye(len(product), dtype=product.dtype, device=product.device)
            distances.append(torch.linalg.matrix_norm(product - identity))
    return config.orth_reg_weight * torch.stack(distances).mean()


def expanded(
    tensors: dict[str, Tensor], whole: dict[str, Tensor], config: Any, source: object
) -> dict[str, Tensor]:
    """Return a pruned adapter in the shapes that it had in training, and with the same updates.

    Args:
        tensors: of a file.
        whole: of a model that is not pruned; what was pruned is taken from it, times 0.
        config: with the ranks of the file.
        source: the file, for the error.

    Raises:
        InputError: the ranks are not those of the tensors.
    """
    result = dict(tensors)
    for name, mask in _masks(config).items():
        kept = torch.tensor(mask, dtype=torch.bool).view(-1)
        for leaf, dimension in (("lora_E", 0), ("lora_A", 0), ("lora_B", 1)):
            key = name.replace("lora_E", leaf)
            found, full = tensors.get(key), whole.get(key)
            if found is None or full is None:
                continue  # the check of all names says it
            if found.shape[dimension] != kept.sum() or full.shape[dimension] != len(kept):
                raise InputError(f"{source}: {key} is not of the ranks that its config says")
            filled = torch.zeros_like(full) if leaf == "lora_E" else full.detach().clone()
            filled.index_copy_(dimension, kept.nonzero().view(-1).to(full.device), found.to(filled))
            result[key] = filled
    return result


def _masks(config: Any) -> dict[str, list[bool]]:
    """Return which entries of each Λ are left, by its name in PEFT's files; none before pruning."""
    return {
        f"base_model.model.{name.removesuffix('.default')}": mask
        for name, mask in (config.rank_pattern or {}).items()
    }


def state(wrapped: Any, config: Any) -> dict[str, Any] | None:
    """Return importances and ranks as they stand; None for another tuner."""
    if not is_adalora(config):
        return None
    allocator = wrapped.base_model.rankallocator
    kept: dict[str, Any] = {name: dict(getattr(allocator, name)) for name in KEPT}
    return kept | {"rank_pattern": config.rank_pattern}


def load_state(wrapped: Any, config: Any, kept: dict[str, Any]) -> None:
    """Take what `state` gave."""
    allocator, device = wrapped.base_model.rankallocator, wrapped.device
    for name in KEPT:
        setattr(allocator, name, {key: value.to(device) for key, value in kept[name].items()})
    config.rank_pattern = kept["rank_pattern"]
