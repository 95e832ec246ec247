"""The precision in which a training computes, to be set where its pass is computed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch


class Precision(NamedTuple):
    """What torch.autocast does on a device.

    Attributes:
        device: its kind.
        dtype: of products; None where nothing is cast.
    """

    device: str
    dtype: torch.dtype | None

    @classmethod
    def now(cls, device: torch.device) -> "Precision":
        """Return what is set now."""
        kind = device.type
        is_set = torch.is_autocast_enabled(kind)
        return cls(kind, torch.get_autocast_dtype(kind) if is_set else None)

    @contextmanager
    def set(self) -> Iterator[None]:
        """Context in which it is set."""
        with torch.autocast(self.device, dtype=self.dtype, enabled=self.dtype is not None):
            yield
