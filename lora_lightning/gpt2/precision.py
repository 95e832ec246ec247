"""Computing in another precision than the base is kept in."""

import torch
from torch import Tensor, nn
from torch.nn import functional


def compute_dtype(stored: torch.dtype, device: torch.device) -> torch.dtype:
    """Return the dtype of activations for a base whose weights are kept as `stored`.

    A CPU without matrix units multiplies bfloat16 at half the speed of float32; there the weights
    are converted: for training as they are used, which costs a tenth of the product that follows,
    for decoding, where a product has few rows, once.
    """
    if device.type == "cpu" and stored == torch.bfloat16 and not has_matrix_units():
        return torch.float32
    return stored


def has_matrix_units() -> bool:
    """Whether this CPU multiplies bfloat16 matrices in hardware (AMX)."""
    if hasattr(torch.cpu, "get_capabilities"):
        return bool(torch.cpu.get_capabilities().get("amx_bf16", False))
    return torch.cpu._is_amx_tile_supported()  # an older torch


def is_plain(module: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether calling a module is no more than its class's forward: no subclass, no hooks."""
    has_hooks = module._forward_hooks or module._forward_pre_hooks
    return type(module) is kind and not has_hooks and "forward" not in vars(module)


def in_double(tensor: Tensor) -> Tensor:
    """Return a tensor in float64, in float32 on Apple's GPUs, which have nothing wider."""
    return tensor.float() if tensor.device.type == "mps" else tensor.double()


def mixed_layer_norm(norm: nn.LayerNorm, x: Tensor) -> Tensor:
    """Apply a layer norm in the dtype of `x`, whatever its own tensors have.

    What a method put in its place is called as it is.
    """
    if not is_plain(norm, nn.LayerNorm):
        return norm(x)
    weight, bias = norm.weight.to(x.dtype), norm.bias.to(x.dtype)
    return functional.layer_norm(x, norm.normalized_shape, weight, bias, norm.eps)
