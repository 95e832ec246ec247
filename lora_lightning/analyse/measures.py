"""What the LoRA paper measures of an update (Hu et al. 2021, sections 7.2 and 7.3, appendix H)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lora_lightning.analyse.updates import Decomposition, leading_decomposition

SEED_OF_RANDOM = 0


def subspace_similarity(first: Tensor, second: Tensor) -> Tensor:
    """Return φ(i, j) = ‖V₁ᵢᵀ V₂ⱼ‖² / min(i, j) for the first i and the first j directions.

    1: the smaller subspace lies in the larger; 0: they are orthogonal (section 7.2). Random
    directions of d features have about max(i, j) / d.

    Args:
        first: orthonormal columns, the most important first, (d, rank of one).
        second: the same of the other, (d, rank of the other).

    Returns:
        (rank of one, rank of the other) float64 in 0..1.
    """
    overlap = (first.T @ second).square().cumsum(0).cumsum(1)
    i, j = (torch.arange(1, size + 1, dtype=overlap.dtype) for size in overlap.shape)
    return (overlap / torch.minimum(i[:, None], j)).clamp(0, 1)


@dataclass(frozen=True)
class Amplification:
    """How far an update amplifies what the base hardly uses (section 7.3, table 7).

    Attributes:
        update_norm: ‖ΔW‖, Frobenius, as all here.
        weight_norm: ‖W‖.
        along_update: ‖Uᵀ W V‖ with U and V the directions of ΔW: how much of W lies there.
        along_weight: the same with as many leading directions of W itself, the most it can be.
        along_random: the same with random directions.
        factor: update_norm / along_update.
    """

    update_norm: float
    weight_norm: float
    along_update: float
    along_weight: float
    along_random: float
    factor: float


def amplification(weight: Tensor, update: Decomposition) -> Amplification:
    """Measure how an update stands to its frozen weight.

    Args:
        weight: W, (out, in) float64.
        update: ΔW.
    """
    rank = len(update.values)
    generator = torch.Generator().manual_seed(SEED_OF_RANDOM)
    random = (
        torch.linalg.qr(torch.randn(features, rank, generator=generator, dtype=weight.dtype))[0]
        for features in weight.shape
    )
    update_norm = float(torch.linalg.vector_norm(update.values))
    along_update = _norm_along(weight, update.left, update.right)
    return Amplification(
        update_norm,
        float(torch.linalg.matrix_norm(weight)),
        along_update,
        float(torch.linalg.vector_norm(leading_decomposition(weight, rank).values)),
        _norm_along(weight, *random),
        update_norm / along_update if along_update else float("nan"),
    )


def _norm_along(weight: Tensor, left: Tensor, right: Tensor) -> float:
    return float(torch.linalg.matrix_norm(left.T @ weight @ right))
