"""One model that decodes for several: the rows of each get what its own model does otherwise."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, groupby
from typing import Any

import torch
from torch import Tensor, nn
from transformers import GPT2LMHeadModel
from transformers.models.gpt2.modeling_gpt2 import GPT2MLP

from lora_lightning.decoding.cache import SharedPromptCache
from lora_lightning.decoding.shared_prompt import SharedPromptModel
from lora_lightning.errors import InputError
from lora_lightning.gpt2.forward import blocks_of, require_packable
from lora_lightning.gpt2.layout import shared_copy
from lora_lightning.gpt2.packing import Packing
from lora_lightning.gpt2.precision import is_plain
from lora_lightning.gpt2.prefix import prefix_of
from lora_lightning.methods.inject import merged_copy, unwrap_merged
from lora_lightning.methods.layer import AdapterLayer
from lora_lightning.methods.lora import LoRALayer
from lora_lightning.one_pass.alike import addresses, are_one, frozen_projection
from lora_lightning.one_pass.precision import Precision


class Owners:
    """Which of the models the rows of a pass belong to.

    Attributes:
        of_contexts: (context,) int64, while beams are read.
        of_prompts: model and tokens of neighbours of one model, while prompts are read; else None.
    """

    def __init__(self) -> None:
        self.of_contexts = torch.empty(0, dtype=torch.int64)
        self.of_prompts: list[tuple[int, slice]] | None = None

    def begin_prompts(self, owners: Sequence[int], lengths: Sequence[int]) -> None:
        """Take whose each prompt is, and how many tokens it has."""
        ends = list(accumulate(lengths))
        parts = zip(owners, [0, *ends], ends, strict=False)
        self.of_prompts = []
        for owner, neighbours in groupby(parts, key=lambda part: part[0]):
            each = list(neighbours)
            self.of_prompts.append((owner, slice(each[0][1], each[-1][2])))

    def begin_step(self, owners: Tensor) -> None:
        """Take whose each context is, (context,) int64."""
        self.of_contexts = owners
        self.of_prompts = None

    def parts(self) -> Iterator[tuple[int, Any]]:
        """Yield each model that has rows, and the index of these."""
        if self.of_prompts is not None:
            for owner, tokens in self.of_prompts:
                yield owner, (slice(None), tokens)
            return
        for owner in self.of_contexts.unique().tolist():
            yield owner, self.of_contexts == owner

    def __deepcopy__(self, memo: dict[int, Any]) -> "Owners":
        """Return itself: a copy of a model reads for the same."""
        return self


class ThinUpdates(nn.Module):
    """A frozen projection and a low-rank update for each model's rows.

    Args:
        base: the projection.
        layers: of each model; what is no LoRA layer adds nothing.
        owners: whose the rows are.
    """

    only_calls_base = True
    down: Tensor
    up: Tensor

    def __init__(self, base: nn.Module, layers: Sequence[nn.Module], owners: Owners) -> None:
        super().__init__()
        self.base, self.owners = base, owners
        updates = [layer for layer in layers if isinstance(layer, LoRALayer)]
        like, first = updates[0].lora_A, updates[0]
        rank = max(len(layer.down()) for layer in updates)
        down = like.new_zeros(len(layers), first.in_features, rank)
        up = like.new_zeros(len(layers), rank, first.out_features)
        with torch.no_grad():
            for number, layer in enumerate(layers):
                if isinstance(layer, LoRALayer):
                    own = layer.down()
                    down[number, :, : len(own)] = own.T
                    up[number, : len(own)] = layer.scale * layer.expansion()
        self.register_buffer("down", down)  # (model, in, rank)
        self.register_buffer("up", up)  # (model, rank, out)

    def forward(self, x: Tensor) -> Tensor:
        """Project (context, beam, in), or (1, token, in) of prompts."""
        product: Tensor = self.base(x)
        if self.owners.of_prompts is None:
            of_contexts = self.owners.of_contexts
            return product.baddbmm_(x @ self.down[of_contexts], self.up[of_contexts])
        for owner, (_, tokens) in self.owners.parts():
            product[0, tokens].addmm_(x[0, tokens] @ self.down[owner], self.up[owner])
        return product


class OwnModules(nn.ModuleList):
    """A module of each model, for its rows."""

    only_calls_base = True

    def __init__(self, modules: Iterable[nn.Module], owners: Owners) -> None:
        super().__init__(modules)
        self.owners = owners

    def forward(self, x: Tensor) -> Tensor:
        """Compute (context, beam, in), or (1, token, in) of prompts."""
        result: Tensor | None = None
        for owner, rows in self.owners.parts():
            own: Tensor = self[owner](x[rows])
            if result is None:
                result = own.new_empty(*x.shape[:-1], own.shape[-1])
            result[rows] = own
        assert result is not None
        return result


class JointReader(SharedPromptModel):
    """Reads each query with its own model, all in one way over the base.

    Args:
        model: a `joint_model`.
        owners: its own.
        owner_of: the number of each query's model.
        packing: whether weights are laid out for the CPU's products.
    """

    def __init__(
        self, model: GPT2LMHeadModel, owners: Owners, owner_of: Sequence[int], packing: Packing
    ) -> None:
        super().__init__(model, packing)
        self._owners = owners
        self._owner_of = torch.tensor(owner_of, device=self.device)
        self.is_recordable = not any(isinstance(m, OwnModules) for m in self.model.modules())

    def read_prompts(
        self, query: Tensor, prompts: Sequence[Sequence[int]], cache: SharedPromptCache, first: int
    ) -> Tensor:
        """Read prompts, see `SharedPromptModel`."""
        self._owners.begin_prompts(self._owner_of[query].tolist(), list(map(len, prompts)))
        return super().read_prompts(query, prompts, cache, first)

    def read_tokens(
        self, query: Tensor, newest: Tensor, step: Tensor, cache: SharedPromptCache
    ) -> Tensor:
        """Read a token of each beam, see `SharedPromptModel`."""
        self._owners.begin_step(self._owner_of[query])
        return super().read_tokens(query, newest, step, cache)


def joint_model(
    models: Sequence[GPT2LMHeadModel], owners: Owners, precision: Precision
) -> GPT2LMHeadModel:
    """Return a model that shares the tensors of `models`, and reads each row as its own would.

    Low-rank updates stay beside their projection where both are float32. Every other adapter is
    merged where it can be, into a weight of its own, as rounding a merged weight changes texts.
    """
    is_precise = models[0].dtype == torch.float32 and precision.dtype is None
    evaluated = []
    for model in models:
        twin = shared_copy(merged_copy(model, stays=_is_thin if is_precise else None))
        unwrap_merged(twin)
        evaluated.append(twin)
    joint = shared_copy(evaluated[0])
    for place in _places(evaluated):
        modules = [model.get_submodule(place) for model in evaluated]
        if not are_one(modules):
            joint.set_submodule(place, _layer(modules, owners))
    return joint


def frame_of(model: GPT2LMHeadModel) -> tuple[Any, ...] | None:
    """Return what models must have in common that decode as one; None: it must decode alone."""
    try:
        require_packable(model)
    except InputError:
        return None
    transformer = model.transformer
    if any(prefix_of(block.attn) is not None for block in blocks_of(transformer)):
        return None
    frozen = (transformer.wte, transformer.wpe, model.lm_head)
    if any(type(module) not in (nn.Embedding, nn.Linear) for module in frozen):
        return None
    return model.dtype, len(transformer.h), *map(addresses, frozen)


def _layer(modules: Sequence[nn.Module], owners: Owners) -> nn.Module:
    bases = [frozen_projection(module) for module in modules]
    first, *others = bases
    if first is None or any(b is None or addresses(b) != addresses(first) for b in others):
        return OwnModules(modules, owners)
    return ThinUpdates(first, modules, owners)


def _is_thin(layer: Any) -> bool:
    return isinstance(layer, AdapterLayer) and frozen_projection(layer) is not None


def _places(models: Sequence[GPT2LMHeadModel]) -> Iterator[str]:
    """Yield the names of what is called with rows, as small as it is in all models."""
    for number, blocks in enumerate(zip(*(blocks_of(m.transformer) for m in models), strict=True)):
        block = f"transformer.h.{number}"
        yield from (f"{block}.{name}" for name in ("ln_1", "attn.c_attn", "attn.c_proj", "ln_2"))
        is_whole = not all(is_plain(b.mlp, GPT2MLP) for b in blocks)
        yield from [f"{block}.mlp"] if is_whole else (f"{block}.mlp.c_fc", f"{block}.mlp.c_proj")
    yield "transformer.ln_f"
