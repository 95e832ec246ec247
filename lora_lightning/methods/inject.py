"""Putting LoRA layers into a model, and merging them into its weights."""

import copy
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from lora_lightning.errors import InputError
from lora_lightning.methods.base import adapter_tensors
from lora_lightning.methods.exceptions import Exceptions, RankAndAlpha, settings_of
from lora_lightning.methods.initial import Init, initialise
from lora_lightning.methods.layer import AdapterLayer
from lora_lightning.methods.lora import LoRALayer
from lora_lightning.methods.targets import find_targets
from lora_lightning.methods.tuner_layer import TunerLayer, tuner_layers


def inject_lora(
    model: nn.Module,
    rank: int,
    alpha: float,
    dropout: float,
    targets: Sequence[str],
    layer_type: type[LoRALayer] = LoRALayer,
    exceptions: Exceptions = (),
    init: Init = "kaiming",
) -> None:
    """Freeze `model` and put a trainable `layer_type` around each projection that is a target.

    Args:
        model: the base model; changed in place, or not at all where an error is raised.
        rank: rank of each update.
        alpha: scaling numerator, see `LoRALayer`.
        dropout: dropout probability of the updates' input.
        targets: see `find_targets`.
        layer_type: which kind of LoRA.
        exceptions: projections of another rank or alpha.
        init: initial values of A and B.

    Raises:
        InputError: a target fits nothing, overlaps another or is tied, or a rank is larger than
            a projection.
    """
    adaptations = find_targets(model, targets)
    settings = settings_of(adaptations, RankAndAlpha(rank, alpha), exceptions)
    for name, adaptation in adaptations.items():
        if (own := settings[name].rank) > adaptation.largest_rank:
            key = "method.rank=" if own == rank else "method.exceptions: rank "
            raise InputError(
                f"{key}{own} is larger than {name} allows; "
                f"choose from 1 to {adaptation.largest_rank}"
            )
    _require_layer(layer_type)
    model.requires_grad_(False)
    for name, adaptation in adaptations.items():
        layer = layer_type(
            adaptation.projection,
            *settings[name],
            dropout,
            adaptation.slices,
            adaptation.num_slices,
        )
        initialise(layer, init)
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, layer)


def _require_layer(layer_type: type[LoRALayer]) -> None:
    try:
        inspect.signature(layer_type).bind("base", "rank", "alpha", "dropout", "slices", "number")
    except TypeError as error:
        raise InputError(
            f"method._target_: {layer_type.__name__} is built from the arguments of LoRALayer, and "
            f"takes others ({error}); let it take these"
        ) from None


def lora_layers(model: nn.Module) -> dict[str, LoRALayer]:
    """Return the LoRA layers of `model` by module name, in the model's order."""
    return {name: m for name, m in model.named_modules() if isinstance(m, LoRALayer)}


def adapter_layers(model: nn.Module) -> dict[str, AdapterLayer | TunerLayer]:
    """Return the layers that hold adapters, ours and PEFT's, by module name."""
    ours = {name: m for name, m in model.named_modules() if isinstance(m, AdapterLayer)}
    return {**ours, **tuner_layers(model)}


def merge_adapters(model: nn.Module) -> None:
    """Add every update to its base weight where it can be; what is merged stays so."""
    for layer in adapter_layers(model).values():
        layer.merge()


def unmerge_adapters(model: nn.Module) -> None:
    """Restore every base weight bit for bit; what is not merged stays so."""
    for layer in adapter_layers(model).values():
        layer.unmerge()


def merged_copy(
    model: PreTrainedModel, stays: Callable[[AdapterLayer | TunerLayer], bool] | None = None
) -> Any:
    """Return the model with its adapters merged; it shares with `model` what neither alters.

    What is trained, and the projections that adapters are merged into, are copied: a weight that
    was merged and restored would no longer fit its packed form.

    Args:
        model: with its adapters in place.
        stays: says of a layer whether it stays as it is, its tensors shared; None: no layer does.
    """
    merging = [layer for layer in adapter_layers(model).values() if not (stays and stays(layer))]
    own = {id(tensor) for layer in merging for tensor in (*layer.parameters(), *layer.buffers())}
    shared = {
        id(tensor): tensor
        for tensor in (*model.parameters(), *model.buffers())
        if id(tensor) not in own and not tensor.requires_grad
    }
    with torch.no_grad():
        merged = copy.deepcopy(model, dict(shared))
        for layer in adapter_layers(merged).values():
            if not (stays and stays(layer)):
                layer.merge()
    return merged


def unwrap_merged(model: nn.Module) -> None:
    """Put the base of every merged layer in its place; its adapter cannot be taken out again."""
    for name, layer in adapter_layers(model).items():
        if layer.merged:
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, layer.base)


def unmerged_tensors(model: PreTrainedModel) -> list[str]:
    """Return the names of what a method added that is in no weight of the base."""
    merged = tuple(f"{name}." for name, m in adapter_layers(model).items() if m.merged)
    return [name for name in adapter_tensors(model) if not name.startswith(merged)]


@contextmanager
def adapters_merged(model: nn.Module, merged: bool) -> Iterator[None]:
    """Have all adapters merged, or none, within the block; afterwards each is as it was."""
    before = {layer: layer.merged for layer in adapter_layers(model).values()}
    (merge_adapters if merged else unmerge_adapters)(model)
    try:
        yield
    finally:
        for layer, was_merged in before.items():
            layer.merge() if was_merged else layer.unmerge()
