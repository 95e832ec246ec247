"""GPT-2's projections: how their weights are kept, converted and multiplied."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from transformers.pytorch_utils import Conv1D

from lora_lightning.gpt2.empty import empty_modules
from lora_lightning.gpt2.packing import PackedMatrix, Packing, packs
from lora_lightning.gpt2.precision import compute_dtype


class PackedCopies(NamedTuple):
    """A weight packed for both directions.

    Attributes:
        forward: of W.
        backward: of Wᵀ.
        state: what W was when it was packed.
    """

    forward: PackedMatrix
    backward: PackedMatrix
    state: tuple[int, int]


class GPT2Projection(Conv1D):
    """A `Conv1D` that computes in the dtype of its input, whatever its weight is kept in.

    `product` and `product_back` are the only places where a frozen weight is read for a product:
    converted as it is used, or packed. Autograd would keep a converted W: a whole copy of the base.
    """

    packed: PackedCopies | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Project `x` (..., in) to (..., out)."""
        if torch.is_autocast_enabled(x.device.type):
            return super().forward(x)
        flat = x.reshape(-1, self.nx)
        is_trained = self.weight.requires_grad or self.bias.requires_grad
        if is_trained or (x.dtype == self.weight.dtype and self.packed is None):
            product = torch.addmm(self.bias.to(x.dtype), flat, self.weight.to(x.dtype))
        else:
            product = _FrozenProduct.apply(flat, self)
        return product.view(*x.shape[:-1], self.nf)

    def product(self, x: Tensor, with_bias: bool = True) -> Tensor:
        """Compute x W, + b if asked, in the dtype of x and without a gradient.

        Args:
            x: (rows, in).
            with_bias: whether to add b.

        Returns:
            (rows, out).
        """
        bias = self.bias.to(x.dtype) if with_bias else None
        if (packed := self._packed_for(x)) is not None:
            return packed.forward.product(x, bias)
        weight = self.weight.to(x.dtype)
        return x @ weight if bias is None else torch.addmm(bias, x, weight)

    def product_back(self, gradient: Tensor) -> Tensor:
        """Compute G Wᵀ, (rows, out) to (rows, in), in the dtype of G and without a gradient."""
        if (packed := self._packed_for(gradient)) is not None:
            return packed.backward.product(gradient)
        return gradient @ self.weight.to(gradient.dtype).T

    def pack(self, dtype: torch.dtype) -> None:
        """Lay W and Wᵀ out for oneDNN, for products in `dtype`."""
        weight = self.weight.detach().to(dtype)
        self.packed = PackedCopies(PackedMatrix(weight.T), PackedMatrix(weight), self._state())

    def keep_packed(self, packed: PackedCopies) -> None:
        """Take the packed copies of an equal weight."""
        self.packed = packed._replace(state=self._state())

    def _packed_for(self, x: Tensor) -> PackedCopies | None:
        """Return the packed copies if they are of x's dtype and of W as it is now.

        Merging an adapter, for one, changes W.
        """
        if self.packed is None or self.packed.forward.dtype != x.dtype:
            return None
        if torch.compiler.is_compiling():  # the compiler cannot look into oneDNN's tensors
            return None
        return self.packed if self.packed.state == self._state() else None

    def _state(self) -> tuple[int, int]:
        return self.weight.data_ptr(), self.weight._version


def with_own_projections(model: nn.Module) -> nn.Module:
    """Put a `GPT2Projection` of the same parameters in each `Conv1D`'s place; return `model`."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, Conv1D) and not isinstance(child, GPT2Projection):
                setattr(parent, name, _projection_of(child))
    return model


class LinearProjection(nn.Linear):
    """An `nn.Linear` that computes in the dtype of its input, whatever its weight is kept in."""

    def forward(self, x: Tensor) -> Tensor:
        """Project `x` (..., in) to (..., out)."""
        if torch.is_autocast_enabled(x.device.type):
            return super().forward(x)
        return nn.functional.linear(x, self.weight.to(x.dtype), self.bias.to(x.dtype))


def with_linear_projections(model: nn.Module) -> nn.Module:
    """Put an `nn.Linear` of the same numbers in each `Conv1D`'s place; return `model`."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, Conv1D):
                # Some of PEFT's tuners take no subclass.
                kind = nn.Linear if child.weight.dtype == torch.float32 else LinearProjection
                with empty_modules():
                    linear = kind(child.nx, child.nf)
                linear.weight = nn.Parameter(
                    child.weight.detach().T.contiguous(), child.weight.requires_grad
                )
                linear.bias = child.bias
                setattr(parent, name, linear.train(child.training))
    return model


def pack_for_training(model: nn.Module, packing: Packing, device: torch.device) -> None:
    """Pack the frozen projections of `model` where it trains on a CPU and that pays.

    With as many rows as training has in a product, two copies of each weight gain a few percent of
    a step in bfloat16 with matrix units, and nothing in float32: `auto` packs only for the former.

    Raises:
        InputError: this torch cannot pack.
    """
    frozen = [
        module
        for module in model.modules()
        if isinstance(module, GPT2Projection) and not module.weight.requires_grad
    ]
    if device.type != "cpu" or not frozen:
        return
    weights = [projection.weight for projection in frozen]
    dtype = compute_dtype(weights[0].dtype, device)
    pays = packing is True or dtype == torch.bfloat16
    if pays and packs(packing, weights, dtype, copies=2):
        for projection in frozen:
            projection.pack(dtype)


def _projection_of(module: Conv1D) -> GPT2Projection:
    with empty_modules():
        projection = GPT2Projection(module.nf, module.nx)
    projection.weight, projection.bias = module.weight, module.bias
    return projection.train(module.training)


class _FrozenProduct(torch.autograd.Function):
    """x W + b of a frozen projection, in the dtype of x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, projection: GPT2Projection) -> Tensor:
        ctx.projection = projection
        return projection.product(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *result_grad: Tensor) -> tuple[Tensor | None, ...]:
        return ctx.projection.product_back(result_grad[0]), None
