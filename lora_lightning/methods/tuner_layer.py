"""Layers of PEFT's tuners, merged and unmerged as ours are."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

WRAPPED = "peft_model"
"""Attribute of a model in which PEFT put its layers: PEFT's model around it, no submodule."""


class TunerLayer:
    """One of PEFT's layers.

    Args:
        module: a `BaseTunerLayer`.
    """

    def __init__(self, module: Any) -> None:
        self.module = module

    def __hash__(self) -> int:
        return hash(self.module)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TunerLayer) and other.module is self.module

    def parameters(self) -> Iterator[nn.Parameter]:
        """Yield its parameters, the base's too."""
        parameters: Iterator[nn.Parameter] = self.module.parameters()
        return parameters

    def buffers(self) -> Iterator[Tensor]:
        """Yield its buffers."""
        buffers: Iterator[Tensor] = self.module.buffers()
        return buffers

    @property
    def base(self) -> nn.Module:
        """The module in whose place it stands."""
        base: nn.Module = self.module.get_base_layer()
        return base

    @property
    def merged(self) -> bool:
        """Whether the base weight holds the update."""
        return bool(self.module.merged_adapters)

    @torch.no_grad()
    def merge(self) -> None:
        """Have PEFT merge the layer; where it cannot, the layer stays as it is."""
        if self.merged:
            return
        kept = [(parameter, parameter.clone()) for parameter in self.base.parameters()]
        try:
            self.module.merge()
        except Exception:  # every tuner that cannot has its own
            self.module.merged_adapters.clear()
        if self.merged:
            self.module.kept_by_merging = kept
        else:
            _restore(kept)

    @torch.no_grad()
    def unmerge(self) -> None:
        """Restore the base weight bit for bit; does nothing if it is not merged."""
        if self.merged:
            self.module.unmerge()
            self.module.merged_adapters.clear()  # which not every tuner does
            _restore(self.module.kept_by_merging)
            del self.module.kept_by_merging


def tuner_layers(model: nn.Module) -> dict[str, TunerLayer]:
    """Return PEFT's layers in `model` by module name, none where PEFT put none there."""
    if not hasattr(model, WRAPPED):
        return {}
    return {
        name: TunerLayer(module)
        for name, module in model.named_modules()
        if hasattr(module, "get_base_layer") and hasattr(module, "merged_adapters")
    }


def _restore(kept: Sequence[tuple[Tensor, Tensor]]) -> None:
    for parameter, value in kept:
        parameter.copy_(value)
