"""From the names in `method.targets` to the projections of a model."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn
from transformers.pytorch_utils import Conv1D

from lora_lightning.errors import InputError
from lora_lightning.methods.lora import Projection, projection_features

FUSED = "c_attn"
"""Name of GPT-2's fused projection to queries, keys and values."""

SLICES = ("q", "k", "v")
"""Targets that are one third of `c_attn`, in the order of its output features."""


@dataclass(frozen=True)
class Adaptation:
    """Where one adapter goes: `slices` of the `num_slices` slices of a projection's output."""

    projection: Projection
    slices: tuple[int, ...] = (0,)
    num_slices: int = 1

    @property
    def largest_rank(self) -> int:
        """The rank of an unrestricted update of one slice."""
        in_features, out_features = projection_features(self.projection)
        return min(in_features, out_features // self.num_slices)


def find_targets(model: nn.Module, targets: Sequence[str]) -> dict[str, Adaptation]:
    """Return the adaptations that `targets` ask for, by module name, in the model's order.

    `q`, `k` and `v` are slices of every `c_attn`. Any other target is the name of a `Linear` or
    `Conv1D`, or the last parts of one: `c_proj` fits `h.0.attn.c_proj` and `h.0.mlp.c_proj`.

    Raises:
        InputError: a target fits nothing, is tied to another module, is given twice, or asks for
            a projection that another target has.
    """
    tied = _tied_modules(model)
    _refuse_tied(tied, targets)
    candidates = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, Conv1D | nn.Linear) and name not in tied
    }
    claims: dict[str, list[str]] = {name: [] for name in candidates}
    for target in targets:
        names = [name for name, module in candidates.items() if _fits(target, name, module)]
        if not names:
            raise InputError(
                f"method.targets: {target!r} fits no projection of the model; "
                f"choose from {', '.join(_choices(candidates))}"
            )
        for name in names:
            claims[name].append(target)
    _refuse_overlap(claims)
    return {name: _adaptation(candidates[name], claims[name]) for name in claims if claims[name]}


def matches_suffix(name: str, suffix: str) -> bool:
    """Whether the dotted `name` is `suffix` or ends with its parts."""
    return name == suffix or name.endswith(f".{suffix}")


def name_pattern(name: str) -> str:
    """Return a module name with its layer number replaced: `h.3.attn` becomes `h.*.attn`."""
    return re.sub(r"(?<=\.)\d+(?=\.)", "*", name)


def _fits(target: str, name: str, projection: Projection) -> bool:
    if target not in SLICES:
        return matches_suffix(name, target)
    in_features, out_features = projection_features(projection)
    # Cross-attention also has a c_attn, of keys and values only.
    return matches_suffix(name, FUSED) and out_features == len(SLICES) * in_features


def _adaptation(projection: Projection, targets: list[str]) -> Adaptation:
    if targets[0] not in SLICES:
        return Adaptation(projection)
    return Adaptation(projection, tuple(sorted(map(SLICES.index, targets))), len(SLICES))


def _tied_modules(model: nn.Module) -> dict[str, list[str]]:
    """Return the modules that share their weight, with the names of those they share it with."""
    owners: dict[int, list[str]] = defaultdict(list)
    for name, module in model.named_modules():
        if isinstance(module, Conv1D | nn.Linear | nn.Embedding):
            owners[id(module.weight)].append(name)
    return {
        name: [other for other in names if other != name]
        for names in owners.values()
        for name in names
        if len(names) > 1
    }


def _refuse_tied(tied: dict[str, list[str]], targets: Sequence[str]) -> None:
    for name, others in tied.items():
        for target in targets:
            if matches_suffix(name, target):
                raise InputError(
                    f"method.targets: {target!r} is tied to {', '.join(others)}, so it cannot have "
                    "an update of its own; leave it out"
                )


def _refuse_overlap(claims: dict[str, list[str]]) -> None:
    for name, targets in claims.items():
        if len(set(targets)) < len(targets):
            raise InputError(f"method.targets: {targets} names one of them twice; leave one out")
        if len(targets) > 1 and not set(targets) <= set(SLICES):
            raise InputError(
                f"method.targets: {' and '.join(targets)} both adapt {name}; leave one out"
            )


def _choices(candidates: dict[str, Projection]) -> list[str]:
    """Return the shortest telling names: the parts after the layer number, and the slices."""
    names = {re.sub(r"^.*\.\d+\.", "", name): None for name in candidates}
    has_slices = any(_fits("q", name, module) for name, module in candidates.items())
    return [*(SLICES if has_slices else ()), *names]
