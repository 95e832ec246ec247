"""A job of a pass, as the pass sees it."""

from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

from lora_lightning.decoding.seat import DECODING_SEAT
from lora_lightning.one_pass.requests import Backward, Forward, NextText
from lora_lightning.one_pass.seat import OwnSeat
from lora_lightning.one_pass.turns import Turns
from lora_lightning.training.seat import SEAT

Result = TypeVar("Result")


class Job(Generic[Result]):
    """A job in its seat.

    Args:
        number: among all jobs.
        seat: its own.
        run: returns its result.

    Attributes:
        turns: its.
        has_trained: whether it has asked for what a training asks for.
    """

    def __init__(self, number: int, seat: OwnSeat, run: Callable[[], Result]) -> None:
        self.number = number
        self.seat = seat
        self.turns = Turns(partial(_seated, seat, run))
        self.has_trained = False

    @property
    def request(self) -> Forward | Backward | NextText | None:
        """What it waits for; None before its first turn and after its last."""
        request: Forward | Backward | NextText | None = self.turns.request
        return request


def _seated(seat: OwnSeat, run: Callable[[], Result]) -> Result:
    SEAT.set(seat)
    DECODING_SEAT.set(seat)
    return run()
