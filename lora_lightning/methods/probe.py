"""Whether a layer can be merged: a test of one layer on random numbers."""

from typing import Any

import torch
from torch import Tensor
from transformers.pytorch_utils import Conv1D

PROBES = 5  # inputs
TOLERANCE = 1e-3


@torch.no_grad()
def is_linear_update(layer: Any) -> bool:
    """Whether what a layer adds to its base's output is its input times its `delta_weight`.

    Its tensors are random within; afterwards everything is as it was.

    Args:
        layer: a `LoRALayer`, unmerged.
    """
    parameters = layer.adapter_parameters().values()
    kept, was_training = [parameter.clone() for parameter in parameters], layer.training
    generator = torch.Generator().manual_seed(0)  # the run's own numbers stay as they are
    try:
        layer.eval()
        for parameter in parameters:
            drawn = torch.rand(parameter.shape, generator=generator).add_(0.5)
            signs = torch.randint(2, parameter.shape, generator=generator).mul_(2).sub_(1)
            parameter.copy_(drawn * signs if parameter.dim() > 1 else drawn)
        x = torch.randn(PROBES, layer.in_features, generator=generator)
        return _adds(layer, x.to(layer.base.weight))
    except (RuntimeError, NotImplementedError, ArithmeticError):
        return False
    finally:
        for parameter, value in zip(parameters, kept, strict=True):
            parameter.copy_(value)
        layer.train(was_training)


def _adds(layer: Any, x: Tensor) -> bool:
    frozen, adapted = layer.base(x).float(), layer(x).float()
    delta = layer.delta_weight()  # of the base weight's layout
    expected = x.float() @ (delta if isinstance(layer.base, Conv1D) else delta.T)
    rounding = 8 * torch.finfo(x.dtype).eps * (frozen.norm() + adapted.norm())
    difference = (adapted - frozen - expected).norm()
    return bool(difference <= TOLERANCE * expected.norm() + rounding)
