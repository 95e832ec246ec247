"""Any optimizer of `torch.optim` that steps without a closure, by its name."""

import difflib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import Parameter
from torch.optim import Optimizer

from lora_lightning.errors import InputError, first_line
from lora_lightning.ranges import Rate, Text, accepts, annotations_of, ranged, words
from lora_lightning.training.made_optimizer import CLOSURE, needs_closure
from lora_lightning.training.optimizers import NamedParameters, OptimizerMaker

Settings = Mapping[str, bool | int | float | str | Sequence[int | float] | None]
OURS = ("params", "lr")
REFUSED = {
    "differentiable": "nothing differentiates through an update here",
    "capturable": "no update is captured as a graph here",
}


@ranged("optimizer")
@dataclass(frozen=True)
class TorchOptimizer(OptimizerMaker):
    """Builds `torch.optim.<name>`; that it can update a matrix is tried at once.

    Attributes:
        name: of the class.
        lr: learning rate.
        settings: its further arguments; None: torch's defaults.

    Raises:
        InputError: the installed torch has no such class, it needs a closure or gradients of
            another kind, or it does not take these settings.
    """

    name: Text
    lr: Rate
    settings: Settings | None

    def __post_init__(self) -> None:
        check_settings(self.name, found(self.name), self.settings or {})
        parameter = Parameter(torch.ones(2, 2))
        optimizer = self([("a matrix", parameter)])
        parameter.grad = torch.ones(2, 2)
        try:
            optimizer.step()
        except Exception as error:  # each class of torch's has others
            raise InputError(
                f"optimizer.name={self.name}: cannot update a matrix so ({first_line(error)}); "
                "choose other optimizer.settings, or another optimizer"
            ) from None

    def __call__(self, named_parameters: NamedParameters) -> Optimizer:
        """Build the optimizer over what is trained.

        Raises:
            InputError: the class refuses the parameters or the settings.
        """
        given = self.settings or {}
        settings = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
        parameters = [parameter for _, parameter in named_parameters]
        try:
            optimizer: Optimizer = found(self.name)(parameters, lr=self.lr, **settings)
        except Exception as error:  # each class of torch's has others
            raise InputError(
                f"optimizer.name={self.name}: torch refuses optimizer.settings or what the method "
                f"trains ({first_line(error)}); choose others, or another optimizer"
            ) from None
        return optimizer


def found(name: str) -> Any:
    """Return the class of `torch.optim`.

    Raises:
        InputError: there is none, or training here cannot use it.
    """
    known = {key: value for key, value in vars(torch.optim).items() if _is_optimizer(value)}
    if name not in known:
        usable = [key for key, value in known.items() if _reason_against(value) is None]
        by_letters = {key.lower(): key for key in usable}
        nearest = difflib.get_close_matches(name.lower(), by_letters, n=1)
        meant = f"the nearest is {by_letters[nearest[0]]}; " if nearest else ""
        raise InputError(
            f"optimizer.name={name}: torch {torch.__version__} has no such optimizer; {meant}"
            f"choose from {', '.join(usable)}"
        )
    if (reason := _reason_against(known[name])) is not None:
        raise InputError(f"optimizer.name={name}: {reason}; choose another")
    return known[name]


def check_settings(name: str, optimizer_class: Any, settings: Settings) -> None:
    """Check settings by the signature of the class.

    Raises:
        InputError: it has no such argument, or a value is not of its type.
    """
    annotations = annotations_of(optimizer_class.__init__)
    parameters = inspect.signature(optimizer_class).parameters
    known = [key for key in parameters if key not in (*OURS, *REFUSED)]
    for key, value in settings.items():
        if key == "lr":
            raise InputError("optimizer.settings.lr: the rate is optimizer.lr; set it there")
        if key in REFUSED:
            raise InputError(f"optimizer.settings.{key}: {REFUSED[key]}; leave it out")
        if key not in known:
            nearest = difflib.get_close_matches(str(key), known, n=1)
            meant = f"the nearest is {nearest[0]}; " if nearest else ""
            raise InputError(
                f"optimizer.settings.{key}: torch.optim.{name} has no such argument; {meant}"
                f"it takes {', '.join(known)}"
            )
        annotation = annotations.get(key)
        if annotation is not None and not accepts(annotation, value):
            raise InputError(
                f"optimizer.settings.{key}={value!r}: allowed is {words(annotation)} "
                f"(by torch.optim.{name})"
            )


def _is_optimizer(value: Any) -> bool:
    return inspect.isclass(value) and issubclass(value, Optimizer) and value is not Optimizer


def _reason_against(optimizer_class: Any) -> str | None:
    """Return why training here cannot use an optimizer; None where it can."""
    if needs_closure(optimizer_class):
        return CLOSURE
    if "Sparse" in optimizer_class.__name__:
        return "it takes sparse gradients alone, and those here are dense"
    return None
