"""Modules without memory, for weights that come from elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode


@contextmanager
def empty_modules() -> Iterator[None]:
    """Context in which modules are built on the meta device, their weights left unfilled.

    To fill them with random values would change nothing there, and import torch's compiler.
    """
    with torch.device("meta"), _Unfilled():
        yield


class _Unfilled(TorchFunctionMode):
    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Call a function of torch, unless it is the one that fills weights."""
        if getattr(function, "__name__", None) == "normal_":
            return None
        return function(*args, **(kwargs or {}))
