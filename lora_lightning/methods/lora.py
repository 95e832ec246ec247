"""Low-rank adaptation of one frozen projection (Hu et al. 2021, LoRA, section 4.1)."""

import math
from collections.abc import Sequence
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from lora_lightning.gpt2.projection import GPT2Projection
from lora_lightning.methods.adapted_product import adapted_product
from lora_lightning.methods.dropout import CheapDropout
from lora_lightning.methods.layer import AdapterLayer
from lora_lightning.methods.probe import is_linear_update

Projection = Conv1D | nn.Linear


def projection_features(base: Projection) -> tuple[int, int]:
    """Return (in_features, out_features) of a projection.

    transformers' `Conv1D` keeps its weight as (in, out), `nn.Linear` as (out, in).
    """
    rows, columns = base.weight.shape
    return (rows, columns) if isinstance(base, Conv1D) else (columns, rows)


class LoRALayer(AdapterLayer):
    """A frozen projection and a trained low-rank update of chosen slices of its output.

    The output features are divided into `num_slices` equal slices. An adapted slice j computes

        y_j = (x W + b)_j + s · (x̃ A_jᵀ) B_jᵀ,    s = alpha / rank,    x̃ = dropout(x)

    and every other slice only (x W + b)_j; it has no parameters at all. One dropout mask serves
    all slices. W and b are frozen, A and B are fp32 whatever the dtype of W; the update is computed
    in the dtype of the activations, as autocast would.

    The parameters are stacked as the reference stacks them: block j of `lora_B` acts on block j
    of `lora_A` x̃.

    Example: GPT-2 Medium's `c_attn` maps 1024 features to the 3072 of q, k and v side by side.
    Adapting q and v at rank 4 (`slices=(0, 2)`, `num_slices=3`):

        x       (batch, time, 1024)
        lora_A  (8, 1024)    rows 0-3 are A_q, rows 4-7 are A_v
        lora_B  (2048, 4)    rows 0-1023 are B_q, rows 1024-2047 are B_v
        x̃ Aᵀ    (batch, time, 8)
        y       (batch, time, 3072)    columns 1024-2047, the keys, are the base's

    Merging is explicit and not tied to train or eval mode. A merged layer is its base and costs
    nothing more. A subclass whose `delta_weight` is not what its `forward` adds is never merged.

    Args:
        base: the projection to adapt, `Conv1D` or `nn.Linear`; it is frozen.
        rank: rank of the update of each slice.
        alpha: scaling numerator; the update is scaled by alpha / rank.
        dropout: probability of dropping an input feature of the update while training.
        slices: the adapted slices, ascending.
        num_slices: number of slices that the output is divided into; 1 adapts it as a whole.
    """

    base: Projection
    base_slices: Tensor | None
    start_A: Tensor | None
    start_B: Tensor | None

    def __init__(
        self,
        base: Projection,
        rank: int,
        alpha: float,
        dropout: float = 0.0,
        slices: Sequence[int] = (0,),
        num_slices: int = 1,
    ) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.rank = rank
        self.alpha = alpha
        self.scale: float = self.scale_of(rank, alpha)
        self.slices = tuple(slices)
        self.num_slices = num_slices
        self.in_features, self.out_features = projection_features(base)
        self.slice_features = self.out_features // num_slices
        self.dropout = CheapDropout(dropout)
        device, dtype = base.weight.device, torch.float32
        stacked_rank = len(self.slices) * rank
        stacked_out = len(self.slices) * self.slice_features
        self.lora_A = nn.Parameter(
            torch.empty(stacked_rank, self.in_features, device=device, dtype=dtype)
        )
        self.lora_B = nn.Parameter(torch.empty(stacked_out, rank, device=device, dtype=dtype))
        self.register_buffer("base_slices", None, persistent=False)
        self.register_buffer("start_A", None)  # of the shapes of A and B, where `initial.py`
        self.register_buffer("start_B", None)  # lets them begin in the base weight
        self.reset_parameters()
        self.train(base.training)  # an evaluated model stays so when adapters come in

    @staticmethod
    def scale_of(rank: int, alpha: float) -> float:
        """Return the factor s of the update."""
        return alpha / rank

    def reset_parameters(self) -> None:
        """Draw A uniformly from ±1/√in and set B to zero, so that the update starts at zero.

        The reference calls Kaiming's initialisation with a = √5 on the stacked A, which gives these
        bounds. It then copies one block to all layers; here each layer draws its own A.
        """
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))
        nn.init.zeros_(self.lora_B)

    @property
    def merged(self) -> bool:
        """Whether the base weight holds the update."""
        return self.base_slices is not None

    def forward(self, x: Tensor) -> Tensor:
        """Project `x` (..., in) to (..., out)."""
        if self.merged:
            result: Tensor = self.base(x)
            return result
        base = self._base_of_fused_product(x)
        if base is None:
            return self.add_update(self.base(x), self.dropout(x), self.expansion())
        flat, dropped = (t.reshape(-1, self.in_features) for t in (x, self.dropout(x)))
        adapters = self.down(), self.expansion()
        product = adapted_product(flat, dropped, base, *adapters, float(self.scale))
        return product.view(*x.shape[:-1], self.out_features)

    def _base_of_fused_product(self, x: Tensor) -> GPT2Projection | None:
        """Return the base where it and the update are one product, None where autograd sees two."""
        if not isinstance(self.base, GPT2Projection) or x.device.type != "cpu":
            return None
        if torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling():
            return None
        if type(self).add_update is not LoRALayer.add_update or isinstance(self.scale, Tensor):
            return None
        return None if self.base.bias.requires_grad else self.base

    def add_update(self, frozen: Tensor, x: Tensor, expansion: Tensor) -> Tensor:
        """Add s · (x Aᵀ) times `expansion` (products·rank, out) to `frozen` (..., out)."""
        low = F.linear(x, self.down().to(x.dtype))  # (..., products·rank)
        scale = self.scale
        if isinstance(scale, Tensor):  # a subclass may train it; alpha below takes no gradient
            low, scale = low * scale.to(low.dtype), 1.0
        adapted = torch.addmm(
            frozen.reshape(-1, self.out_features),
            low.reshape(-1, low.shape[-1]),
            expansion.to(frozen.dtype),
            alpha=scale,
        )
        return adapted.view(frozen.shape)

    @property
    def products(self) -> int:
        """How many products of rank `rank` the update is made of: one or two a slice."""
        return len(self.slices) * (1 if self.start_A is None else 2)

    def blocks(self) -> tuple[Tensor, Tensor]:
        """Return A (slices, k, in) and B (slices, slice_out, k) of each slice's whole update.

        k is the rank; twice that where the update is a difference of products, the second one
        with its sign in B.
        """
        down = self.lora_A.view(len(self.slices), self.rank, self.in_features)
        up = self.lora_B.view(len(self.slices), self.slice_features, self.rank)
        if self.start_A is not None and self.start_B is not None:
            down = torch.cat([down, self.start_A.view_as(down)], dim=1)
            up = torch.cat([up, -self.start_B.view_as(up)], dim=2)
        return down, up

    def down(self) -> Tensor:
        """Return the A of all slices, (products·rank, in), fp32."""
        return self.lora_A if self.start_A is None else self.blocks()[0].flatten(0, 1)

    def expansion(self) -> Tensor:
        """Return the B of all slices as one map from all low-rank features to the whole output.

        Shape (products·rank, out), fp32, unscaled; the columns of slice j are zero outside the rows
        of block j. The transposed matrix is `lora_B` of an unsliced LoRA of rank products·rank.
        """
        rows = []
        for block, position in zip(self.blocks()[1], self.slices, strict=True):
            left = position * self.slice_features
            right = self.out_features - left - self.slice_features
            rows.append(F.pad(block.T, (left, right)))  # (k, out)
        return torch.cat(rows)

    def delta_weight(self) -> Tensor:
        """Return what merging adds to the base weight: fp32, scaled, in that weight's layout."""
        delta = self.scale * (self.down().T @ self.expansion())  # (in, out)
        return delta if isinstance(self.base, Conv1D) else delta.T

    def delta_norm(self) -> Tensor | None:
        """Return the Frobenius norm of `delta_weight`, (), without making that matrix.

        ‖Aᵀ Bᵀ‖² = tr(A Aᵀ · Bᵀ B) for each slice: two products of rank by rank. A subclass from
        elsewhere may add something else: of it the matrix is made, None where there is none.
        """
        if not self._is_known:
            return torch.linalg.vector_norm(self.delta_weight()) if self.can_merge else None
        down, up = self.blocks()
        squares = (down @ down.mT * (up.mT @ up)).sum()
        return self.scale * squares.clamp(min=0).sqrt()

    @property
    def _is_known(self) -> bool:
        return type(self).__module__.partition(".")[0] == __name__.partition(".")[0]

    @cached_property
    def can_merge(self) -> bool:
        """Whether `delta_weight` is what `forward` adds; tried with random tensors."""
        return self._is_known or is_linear_update(self)

    @torch.no_grad()
    def merge(self) -> None:
        """Add the update to the base weight, in fp32, cast back; does nothing if it is there.

        A subclass whose `delta_weight` is not what its `forward` adds is left as it is.
        """
        if self.merged or not self.can_merge:
            return
        adapted = list(self.slices)
        weight = self._by_slice(self.base.weight)
        delta = self._by_slice(self.delta_weight())[:, adapted]
        kept = weight[:, adapted]  # indexing by a list copies
        weight[:, adapted] = (kept.float() + delta).to(weight.dtype)
        self.base_slices = kept

    @torch.no_grad()
    def unmerge(self) -> None:
        """Restore the base weight bit for bit; does nothing if it is not merged."""
        if self.base_slices is None:
            return
        self._by_slice(self.base.weight)[:, list(self.slices)] = self.base_slices
        self.base_slices = None

    def slice_weight(self, position: int) -> Tensor:
        """Return a slice of the frozen base weight as (in, slice_out), in its dtype."""
        return self._by_slice(self.base.weight.detach())[:, position]

    def _by_slice(self, weight: Tensor) -> Tensor:
        """View a tensor in the base weight's layout as (in, num_slices, slice_out)."""
        weight = weight if isinstance(self.base, Conv1D) else weight.T
        return weight.unflatten(1, (self.num_slices, self.slice_features))

    def extra_repr(self) -> str:
        """Describe the adaptation where the model is printed."""
        return (
            f"rank={self.rank}, alpha={self.alpha}, "
            f"slices={list(self.slices)} of {self.num_slices}, merged={self.merged}"
        )
