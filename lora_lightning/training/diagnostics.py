"""What a logged update says beside its loss: the size of the gradient, the adapters, the memory."""

import sys
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor, nn

from lora_lightning.methods.inject import lora_layers


@torch.no_grad()
def adapter_norms(model: nn.Module) -> dict[str, Tensor]:
    """Return Frobenius norms of what LoRA trains, each a () fp32 tensor on the model's device.

    `lora/norm_A`, `lora/norm_B`: of all A, of all B. `lora/norm_delta`: of all updates ΔW, and
    `delta/<module>`: of each adapted module's, where it adds one. Empty for a model without LoRA.
    """
    layers = lora_layers(model)
    if not layers:
        return {}
    parts = {
        "A": [torch.linalg.vector_norm(layer.lora_A) for layer in layers.values()],
        "B": [torch.linalg.vector_norm(layer.lora_B) for layer in layers.values()],
    }
    deltas = {
        f"delta/{name.removeprefix('transformer.')}": norm
        for name, layer in layers.items()
        if (norm := layer.delta_norm()) is not None
    }
    parts |= {"delta": list(deltas.values())} if deltas else {}
    of_all = {
        f"lora/norm_{part}": torch.linalg.vector_norm(torch.stack(norms))
        for part, norms in parts.items()
    }
    return of_all | deltas


def diagnostics(model: nn.Module, gradient_norm: Tensor) -> dict[str, float]:
    """Return the metrics of a logged update; a GPU is waited for once.

    Args:
        model: after the update.
        gradient_norm: of the update's gradient before clipping, ().
    """
    norms = {"train/gradient_norm": gradient_norm.float(), **adapter_norms(model)}
    device = gradient_norm.device
    values = torch.stack([norm.to(device) for norm in norms.values()]).tolist()
    return dict(zip(norms, values, strict=True)) | peak_memory(device)


def peak_memory(device: torch.device) -> dict[str, float]:
    """Return `memory/peak_mb`: of the GPU's tensors, or of the whole process on a CPU.

    Empty where the system (Windows) does not say what a process had.
    """
    if device.type == "cuda":
        return {"memory/peak_mb": torch.cuda.max_memory_allocated(device) / 1e6}
    try:
        import resource
    except ImportError:
        return {}
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, KiB elsewhere
    return {"memory/peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6}


def restart_peak_memory(device: torch.device) -> None:
    """Let `peak_memory` begin anew where the system can: the jobs of a multirun share a process.

    Args:
        device: on which is trained.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with suppress(OSError):  # Linux alone has it, and may forbid it
        Path("/proc/self/clear_refs").write_text("5")
