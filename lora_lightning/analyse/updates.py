"""The low-rank update of each slice of a model, taken apart by its singular values.

ΔW = U diag(σ) Vᵀ, σ in descending order; a slice maps `in` features to `out`. Everything is float64
on the CPU: the smallest of the values matter here, and there are few.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from lora_lightning.errors import InputError
from lora_lightning.methods.dora import DoRALayer
from lora_lightning.methods.inject import adapters_merged, lora_layers
from lora_lightning.methods.lora import LoRALayer
from lora_lightning.methods.targets import SLICES


class Decomposition(NamedTuple):
    """The leading singular values of a matrix and their directions.

    Attributes:
        left: U, (out, rank).
        values: σ, (rank,).
        right: V, (in, rank).
    """

    left: Tensor
    values: Tensor
    right: Tensor


@dataclass(frozen=True)
class SliceUpdate:
    """What one slice of a projection has learnt.

    Attributes:
        projection: its name in the model.
        slice: `q`, `k` or `v`; None where the projection is adapted as a whole.
        weight: W, the frozen slice, (out, in).
        update: ΔW; of DoRA its directions of the adapter's rank that matter most.
    """

    projection: str
    slice: str | None
    weight: Tensor
    update: Decomposition

    @property
    def name(self) -> str:
        """The projection, and its slice where it has them."""
        return self.projection if self.slice is None else f"{self.projection} [{self.slice}]"


def slice_updates(model: nn.Module) -> list[SliceUpdate]:
    """Return the update of every adapted slice, in the model's order.

    Raises:
        InputError: the model has no low-rank update.
    """
    layers = lora_layers(model)
    if not layers:
        raise InputError(
            "the run's method has no low-rank update to take apart; analyse one of method=lora, "
            "rslora or dora"
        )
    with torch.no_grad(), adapters_merged(model, merged=False):
        return [update for name, layer in layers.items() for update in _of_layer(name, layer)]


def low_rank_decomposition(up: Tensor, down: Tensor) -> Decomposition:
    """Take `up` (out, rank) times `down` (rank, in) apart without making the product."""
    left, left_triangle = torch.linalg.qr(up.double())
    right, right_triangle = torch.linalg.qr(down.double().T)
    u, values, vt = torch.linalg.svd(left_triangle @ right_triangle.T)
    return Decomposition(left @ u, values, right @ vt.T)


def leading_decomposition(matrix: Tensor, rank: int) -> Decomposition:
    """Take a matrix (out, in) apart, and keep its `rank` largest singular values."""
    u, values, vt = torch.linalg.svd(matrix.double(), full_matrices=False)
    return Decomposition(u[:, :rank], values[:rank], vt[:rank].T)


@torch.no_grad()
def truncate(model: nn.Module, rank: int) -> None:
    """Cut the product B A of every adapted slice to its `rank` largest singular values, in place.

    No other matrix of that rank is nearer to it (Eckart and Young 1936). Adapters must be unmerged.
    """
    for layer in lora_layers(model).values():
        for up, down in zip(*_blocks(layer), strict=True):
            parts = low_rank_decomposition(up, down)
            kept = min(rank, len(parts.values))
            root = parts.values[:kept].sqrt()
            up.zero_()[:, :kept] = parts.left[:, :kept] * root
            down.zero_()[:kept] = (parts.right[:, :kept] * root).T


def _of_layer(name: str, layer: LoRALayer) -> Iterator[SliceUpdate]:
    frozen, update = layer.base.weight, layer.delta_weight()
    if isinstance(layer.base, Conv1D):
        frozen, update = frozen.T, update.T
    weights, updates = (t.float().cpu().split(layer.slice_features) for t in (frozen, update))
    for position, up, down in zip(layer.slices, *_blocks(layer), strict=True):
        if isinstance(layer, DoRALayer):
            parts = leading_decomposition(updates[position], layer.rank)
        else:
            parts = low_rank_decomposition(layer.scale * up.cpu(), down.cpu())
        letter = SLICES[position] if layer.num_slices == len(SLICES) else None
        yield SliceUpdate(name, letter, weights[position].double(), parts)


def _blocks(layer: LoRALayer) -> tuple[Tensor, Tensor]:
    """Return views of the B of each slice (slices, out, rank) and of its A (slices, rank, in)."""
    count = len(layer.slices)
    up = layer.lora_B.view(count, layer.slice_features, layer.rank)
    return up, layer.lora_A.view(count, layer.rank, layer.in_features)
