"""One transformer of many: what its models have in common once, the rest by each model's rows."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum, auto
from itertools import accumulate, groupby
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.activations import NewGELUActivation
from transformers.models.gpt2.modeling_gpt2 import GPT2MLP, GPT2LMHeadModel

from lora_lightning.gpt2.forward import blocks_of
from lora_lightning.gpt2.mlp import mlp
from lora_lightning.gpt2.precision import is_plain, mixed_layer_norm
from lora_lightning.gpt2.projection import GPT2Projection
from lora_lightning.methods.lora import LoRALayer
from lora_lightning.one_pass.alike import (
    addresses,
    are_one,
    frozen_projection,
    projection_within,
)
from lora_lightning.one_pass.answered import JointProduct
from lora_lightning.one_pass.update import Update, updated_product

Call = Callable[[Any, Tensor], Tensor]


@dataclass(frozen=True)
class Member:
    """A model among others.

    Attributes:
        model: with its method applied; what it shares with others are the very same tensors.
        random_numbers: gives a context in which its own random numbers are drawn.
    """

    model: GPT2LMHeadModel
    random_numbers: Callable[[], AbstractContextManager[None]]


class Shared(Enum):
    """How modules share a product."""

    UPDATED = auto()
    ASKED = auto()
    NOT = auto()


class Division:
    """Which tokens are whose: of all rows, and of the wanted positions of the last block."""

    def __init__(self) -> None:
        self.sizes: dict[int, list[int]] = {}

    def set(self, *sizes: list[int]) -> None:
        """Take how many tokens each member has; of all rows first."""
        self.sizes = {sum(of_each): of_each for of_each in reversed(sizes)}


class JointTransformer:
    """What `packed_hidden_states` asks of a transformer, for the joined rows of several models."""

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = members
        self.division = Division()
        transformers = [member.model.transformer for member in members]
        self.wte = self._place([t.wte for t in transformers])
        self.wpe = self._place([t.wpe for t in transformers])
        self.h = [self._block(blocks) for blocks in zip(*map(blocks_of, transformers), strict=True)]
        self.ln_f = self._place([t.ln_f for t in transformers], mixed_layer_norm)

    def _block(self, blocks: Sequence[Any]) -> SimpleNamespace:
        attention = blocks[0].attn
        return SimpleNamespace(
            ln_1=self._place([b.ln_1 for b in blocks], mixed_layer_norm),
            attn=SimpleNamespace(
                c_attn=self._place([b.attn.c_attn for b in blocks]),
                c_proj=self._place([b.attn.c_proj for b in blocks]),
                num_heads=attention.num_heads,
                scaling=attention.scaling,
            ),
            ln_2=self._place([b.ln_2 for b in blocks], mixed_layer_norm),
            mlp=self._mlp([b.mlp for b in blocks]),
        )

    def _mlp(self, modules: Sequence[Any]) -> nn.Module:
        if are_one(modules) or not all(is_plain(module, GPT2MLP) for module in modules):
            return self._place(modules, mlp)
        up, down = (self._place([getattr(m, name) for m in modules]) for name in ("c_fc", "c_proj"))
        return _JointMLP(up, modules[0].act, down)

    def _place(self, modules: Sequence[nn.Module], call: Call | None = None) -> nn.Module:
        """Return what stands in the place of one module of each model."""
        if are_one(modules):
            return modules[0]
        return _Divided(modules, self.members, self.division, call or _call)


class _JointMLP(nn.Module):
    """The MLP of models that adapt its projections."""

    def __init__(self, up: nn.Module, activation: nn.Module, down: nn.Module) -> None:
        super().__init__()
        self.parts = up, activation, down  # a tuple, so that they are no submodules

    def forward(self, x: Tensor) -> Tensor:
        up, activation, down = self.parts
        inner: Tensor = up(x)
        if isinstance(activation, NewGELUActivation):
            projected: Tensor = down(functional.gelu(inner, approximate="tanh"))
        else:
            projected = down(activation(inner))
        return projected


class _Divided(nn.Module):
    """Modules of several models in one place, each for its model's tokens.

    Neighbours that adapt the same frozen projection share its product: those that do it by low-rank
    updates, and those that ask for it in their own way.
    """

    def __init__(
        self,
        modules: Sequence[nn.Module],
        members: Sequence[Member],
        division: Division,
        call: Call,
    ) -> None:
        super().__init__()
        self.pairs = list(zip(modules, members, strict=True))
        keys = groupby(range(len(modules)), lambda number: _shared_key(modules[number]))
        self.runs = [(key[0], list(numbers)) for key, numbers in keys]
        self.division = division
        self.call = call

    def forward(self, x: Tensor) -> Tensor:
        sizes = self.division.sizes[len(x)]
        counts = [[sizes[number] for number in numbers] for _, numbers in self.runs]
        parts = [x] if len(self.runs) == 1 else x.split([sum(own) for own in counts])
        results: list[Tensor] = []
        for (how, numbers), part, own in zip(self.runs, parts, counts, strict=True):
            pairs = [self.pairs[number] for number in numbers]
            if how is Shared.UPDATED:
                results.append(_shared(part, pairs, own))
            elif how is Shared.ASKED:
                results += self._as_they_ask(part, pairs, own)
            else:
                results += self._one_by_one(part, pairs, own)
        return results[0] if len(results) == 1 else torch.cat(results)

    def _one_by_one(
        self, x: Tensor, pairs: Sequence[tuple[nn.Module, Member]], counts: Sequence[int]
    ) -> Iterator[Tensor]:
        for part, (module, member) in zip(x.split(list(counts)), pairs, strict=True):
            with member.random_numbers():
                yield self.call(module, part)

    def _as_they_ask(
        self, x: Tensor, pairs: Sequence[tuple[nn.Module, Member]], counts: list[int]
    ) -> Iterator[Tensor]:
        bases = [base for module, _ in pairs if (base := projection_within(module)) is not None]
        product = JointProduct(x, bases, counts)
        for number, (part, (module, member)) in enumerate(zip(x.split(counts), pairs, strict=True)):
            with member.random_numbers(), product.answers(number, part):
                yield self.call(module, part)


def _shared(x: Tensor, pairs: Sequence[tuple[nn.Module, Member]], counts: Sequence[int]) -> Tensor:
    """Multiply with the projection that modules share, and add the updates of those that adapt."""
    base = frozen_projection(pairs[0][0])
    assert base is not None
    if x.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
        return _shared_by_autograd(x, base, pairs, counts)
    updates = []
    ends = list(accumulate(counts))
    for (module, member), start, end in zip(pairs, [0, *ends], ends, strict=False):
        if isinstance(module, LoRALayer):
            rows = slice(start, end)
            with member.random_numbers():
                mask = module.dropout.mask(x[rows])
            scale = float(module.scale)
            updates.append(Update(rows, mask, module.down(), module.expansion(), scale))
    return updated_product(x, base, updates) if updates else base(x)


def _shared_by_autograd(
    x: Tensor,
    base: GPT2Projection,
    pairs: Sequence[tuple[nn.Module, Member]],
    counts: Sequence[int],
) -> Tensor:
    results = []
    frozen = base(x)
    parts = zip(frozen.split(list(counts)), x.split(list(counts)), pairs, strict=True)
    for product, part, (module, member) in parts:
        if isinstance(module, LoRALayer):
            with member.random_numbers():
                dropped = module.dropout(part)
            results.append(module.add_update(product, dropped, module.expansion()))
        else:
            results.append(product)
    return torch.cat(results)


def _shared_key(module: nn.Module) -> tuple[Shared, tuple[int, ...]]:
    """Return how a module shares the product of a frozen projection, and what tells that one."""
    if (base := frozen_projection(module)) is not None:
        return Shared.UPDATED, addresses(base)
    if (base := projection_within(module)) is not None:
        return Shared.ASKED, (base.weight.data_ptr(),)
    return Shared.NOT, ()


def _call(module: Any, x: Tensor) -> Tensor:
    result: Tensor = module(x)
    return result
