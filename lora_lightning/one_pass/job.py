"""A job of a pass, as the pass sees it."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Generic, TypeVar

from lora_lightning.decoding.seat import DECODING_SEAT
from lora_lightning.one_pass.requests import Backward, Forward, Meeting, NextText
from lora_lightning.one_pass.seat import OwnSeat
from lora_lightning.one_pass.turns import Turns
from lora_lightning.sweep.job import AROUND_TASK
from lora_lightning.training.seat import SEAT

Result = TypeVar("Result")


class Job(Generic[Result]):
    """A job in its seat.

    Args:
        number: among all jobs.
        seat: its own.
        run: returns its result.
        around: context of its task.

    Attributes:
        turns: its.
        has_trained: whether it has asked for what a training asks for.
    """

    def __init__(
        self,
        number: int,
        seat: OwnSeat,
        run: Callable[[], Result],
        around: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self.number = number
        self.seat = seat
        self.turns = Turns(partial(_seated, seat, run, around))
        self.has_trained = False

    @property
    def request(self) -> Forward | Backward | NextText | Meeting | None:
        """What it waits for; None before its first turn and after its last."""
        request: Forward | Backward | NextText | Meeting | None = self.turns.request
        return request

    @property
    def is_in_step(self) -> bool:
        """Whether every rank's job waits where this one does: in nothing that ranks divide."""
        if isinstance(self.request, Forward):
            return self.request.is_last
        return not isinstance(self.request, NextText)


def _seated(
    seat: OwnSeat, run: Callable[[], Result], around: Callable[[], AbstractContextManager[None]]
) -> Result:
    SEAT.set(seat)
    DECODING_SEAT.set(seat)
    AROUND_TASK.set(around)
    return run()
