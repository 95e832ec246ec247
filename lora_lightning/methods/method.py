"""What a training method offers to the commands."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from lora_lightning.errors import InputError
from lora_lightning.gpt2.tensor_file import copy_tensors
from lora_lightning.methods.base import trained_tensors
from lora_lightning.methods.targets import name_pattern


@dataclass(frozen=True)
class ParameterRow:
    """One line of the table of trainable parameters.

    Attributes:
        kind: which tensors, with `*` for the layer number.
        formula: how their number comes about, in words and figures.
        count: number of parameters.
    """

    kind: str
    formula: str
    count: int


class Method(Protocol):
    """Decides which parameters of a base model are trained, and adds those that it needs.

    A method needs the two functions below, and may have any of those in `hooks.py` besides. What
    decodes merged are layers that say how, see `layer.py`.
    """

    def apply(self, model: nn.Module) -> None:
        """Make `model`, a base model fresh from its weights, ready for training, in place.

        Raises:
            InputError: a setting does not fit the model; it names the `method.` key.
        """

    def parameter_table(self, model: nn.Module) -> list[ParameterRow]:
        """Return the trainable parameters of a model that `apply` made ready, in a few rows."""


def state_of(method: Method, model: PreTrainedModel) -> dict[str, Tensor]:
    """Return what the adapter of a method holds, by name.

    Args:
        method: the method.
        model: made ready by it.

    Raises:
        InputError: its own `state` gives something else than tensors by name.
    """
    own = getattr(method, "state", None)
    state = trained_tensors(model) if own is None else own(model)
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in state.items()
    ):
        raise InputError(
            f"method._target_: {type(method).__name__}.state() gives no dict of tensors by name; "
            "let it, or leave it out"
        )
    return state


def begin_method(method: Method, model: PreTrainedModel, updates: int) -> None:
    """Tell a method that asks for it how many updates the run will have."""
    if (begin := getattr(method, "begin", None)) is not None:
        begin(model, updates)


def initialise_method(
    method: Method,
    model: PreTrainedModel,
    batches: Iterator[dict[str, Tensor]],
    device: torch.device,
) -> None:
    """Let a method that asks for it begin with values from data.

    Args:
        method: the method.
        model: made ready by it; ends where it was.
        batches: see `Method`.
        device: where to compute.

    Raises:
        InputError: the method cannot begin with these rows.
    """
    if (own := getattr(method, "initialise", None)) is None:
        return
    was_at, was_training = model.device, model.training
    ours = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=ours):
        model.to(device)  # type: ignore[arg-type]
        own(model, ({key: t.to(device) for key, t in rows.items()} for rows in batches))
        model.to(was_at)  # type: ignore[arg-type]
    model.train(was_training)


def make_room(method: Method, model: PreTrainedModel, tensors: Mapping[str, Tensor]) -> None:
    """Give a model the shapes of a checkpoint's tensors, where its method says how."""
    if (own := getattr(method, "make_room", None)) is not None:
        own(model, tensors)


def check_state(method: Method, model: PreTrainedModel) -> None:
    """Check that nothing that a method trains would be lost.

    Raises:
        InputError: it trains nothing, or its own `state` leaves out what it trains, or a resumed
            run could not go on.
    """
    declared = {tensor.data_ptr() for tensor in state_of(method, model).values()}
    trained = {n: t for n, t in trained_tensors(model).items() if t.requires_grad}
    if not trained:
        raise InputError(f"method: {type(method).__name__} leaves nothing to train")
    if hasattr(method, "training_state") and not hasattr(method, "load_training_state"):
        raise InputError(
            f"method: {type(method).__name__} has training_state(), and no load_training_state() "
            "by which a resumed run would take it; write both"
        )
    if lost := [name for name, tensor in trained.items() if tensor.data_ptr() not in declared]:
        raise InputError(
            f"method: {type(method).__name__}.state() leaves out {lost[0]}, which is trained, so "
            "the adapter would lose it; add it, or leave out state() to have all tensors written"
        )


def rows_of(method: Method, model: nn.Module) -> list[ParameterRow]:
    """Return the trainable parameters of a model that its method made ready, in a few rows.

    Raises:
        InputError: the method gives something else.
    """
    rows = method.parameter_table(model)
    if not isinstance(rows, list) or not all(isinstance(row, ParameterRow) for row in rows):
        raise InputError(
            f"method._target_: {type(method).__name__}.parameter_table() gives no list of "
            "ParameterRow; let it"
        )
    return rows


def extra_loss_of(method: object, model: nn.Module) -> Tensor | None:
    """Return what a method adds to the loss of each micro-batch, (); None where it adds nothing.

    Raises:
        InputError: it gives something else.
    """
    own = getattr(method, "extra_loss", None)
    extra: Tensor | None = None if own is None else own(model)
    if extra is not None and (not isinstance(extra, Tensor) or extra.numel() != 1):
        raise InputError(
            f"method._target_: {type(method).__name__}.extra_loss() gives a "
            f"{type(extra).__name__}, where a tensor of one number is needed; let it return one"
        )
    return extra


def load_state(method: Method, model: PreTrainedModel, tensors: dict[str, Tensor]) -> None:
    """Give a model what `state_of` gave, names and shapes checked."""
    own = getattr(method, "load", None)
    if own is None:
        copy_tensors(state_of(method, model), tensors)
    else:
        own(model, tensors)


def trainable_parameters(model: nn.Module) -> int:
    """Return how many numbers of `model` are trained."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def tensor_rows(named_tensors: Iterable[tuple[str, Tensor]]) -> list[ParameterRow]:
    """Return one row for each kind of tensor: names that differ in the layer alone are one kind."""
    kinds: dict[tuple[str, tuple[int, ...]], int] = defaultdict(int)
    for name, tensor in named_tensors:
        kinds[name_pattern(name), tuple(tensor.shape)] += 1
    rows = []
    for (kind, shape), number in kinds.items():
        layers = f"{number} layers · " if number > 1 else ""
        formula = layers + " · ".join(map(str, shape))
        rows.append(ParameterRow(kind, formula, number * math.prod(shape)))
    return rows
