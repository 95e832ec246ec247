"""Initial values of LoRA's A and B, for each adapted slice W (in, out) of a weight on its own.

| init         | A (rank, in)               | B (out, rank)        | from                         |
|--------------|----------------------------|----------------------|------------------------------|
| `kaiming`    | uniform in ±1/√in          | 0                    | Hu et al. 2021, as released  |
| `gaussian`   | normal, deviation 1/rank   | 0                    | PEFT                         |
| `orthogonal` | normal/10 · even rows of Q | normal/10 · odd rows | PEFT; Q orthogonal, B A = 0  |
| `pissa`      | (Σ_r/s)^½ U_rᵀ             | V_r (Σ_r/s)^½        | Meng et al. 2024; W = U Σ Vᵀ |
| `olora`      | first rows of R            | first columns of Q   | Büyükakyüz 2024; Wᵀ = Q R    |

The last two begin in the weight itself. There A and B as they begin, A₀ and B₀, stay beside them,
and the update is the difference of products

    ΔW = s · (B A - B₀ A₀)ᵀ

where the papers take s · B₀ A₀ off the weight instead: the same sum, but the base stays as it is,
and to others the adapter is a plain LoRA of rank 2·rank. Dropout acts on the whole difference.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from lora_lightning.methods.lora import LoRALayer

Init = Literal["kaiming", "gaussian", "orthogonal", "pissa", "olora"]
STARTED = ("pissa", "olora")
"""Those that begin in the weight."""


@torch.no_grad()
def initialise(layer: LoRALayer, init: Init) -> None:
    """Give a layer that was just made its initial values; `kaiming` it has already.

    Args:
        layer: unmerged, its rank even for `orthogonal`.
        init: see the table above.
    """
    if init == "kaiming" or layer.lora_A.is_meta:
        return
    if init == "gaussian":
        nn.init.normal_(layer.lora_A, std=1 / layer.rank)
        return
    down = layer.lora_A.view(len(layer.slices), layer.rank, -1)
    up = layer.lora_B.view(len(layer.slices), -1, layer.rank)
    for place, position in enumerate(layer.slices):
        if init == "orthogonal":
            a, b = _orthogonal(layer.rank, layer.in_features, layer.slice_features)
        else:
            weight = layer.slice_weight(position).float()  # (in, slice_out)
            scale = float(layer.scale)
            a, b = (
                _pissa(weight, layer.rank, scale) if init == "pissa" else _olora(weight, layer.rank)
            )
        down[place], up[place] = a, b
    if init in STARTED:
        layer.start_A, layer.start_B = layer.lora_A.clone(), layer.lora_B.clone()


def _orthogonal(rank: int, in_features: int, out_features: int) -> tuple[Tensor, Tensor]:
    """Return A and B in orthogonal halves of the space between them, so that B A is zero."""
    basis = torch.linalg.qr(torch.randn(rank, rank)).Q
    a = torch.randn(in_features, rank // 2) @ basis[0::2] / 10
    b = torch.randn(rank // 2, out_features).T @ basis[1::2] / 10
    return a.T, b


def _pissa(weight: Tensor, rank: int, scale: float) -> tuple[Tensor, Tensor]:
    """Return A and B whose product, scaled, is the weight's best approximation of that rank."""
    left, values, right = torch.linalg.svd(weight, full_matrices=False)
    roots = (values[:rank] / scale).sqrt()
    return roots[:, None] * left[:, :rank].T, right[:rank].T * roots


def _olora(weight: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    factors = torch.linalg.qr(weight.T)  # (out, k), (k, in)
    return factors.R[:rank], factors.Q[:, :rank]
