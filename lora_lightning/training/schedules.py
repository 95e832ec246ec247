"""Learning-rate schedules of the reference, as functions of the call number t = 0, 1, ….

A schedule counts either updates or micro-batches (`per`); who calls it does the counting. The
first update or micro-batch runs at the rate of t = 0.
"""

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, Protocol

from annotated_types import MinLen
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from lora_lightning.errors import InputError
from lora_lightning.ranges import Count, CountOrZero, Rate, check, ranged

Per = Literal["optimizer_step", "micro_step"]

log = logging.getLogger(__name__)


def linear_factor(t: int, warmup_steps: int, total_steps: int) -> float:
    """Rise from 0 to 1 over the warm-up, then fall to 0 at `total_steps` and stay there.

    With a warm-up the first step runs at 0; a warm-up longer than the run only rises.
    """
    if t < warmup_steps:
        return t / warmup_steps
    return max(0.0, (total_steps - t) / max(1, total_steps - warmup_steps))


def cosine_factor(t: int, warmup_steps: int, total_steps: int) -> float:
    """Rise from 0 to 1 over the warm-up, then follow half a cosine to 0 at `total_steps`.

    Both oddities are the reference's: the cosine counts from t = 0, so the rate jumps at the end of
    the warm-up, and t = 0 has factor 0 even without a warm-up.
    """
    if t == 0:
        return 0.0
    if t < warmup_steps:
        return t / warmup_steps
    return 0.5 * (1 + math.cos(math.pi * min(t, total_steps) / total_steps))


def constant_factor(t: int, warmup_steps: int) -> float:
    """Rise from 0 to 1 over the warm-up and stay there."""
    return t / warmup_steps if t < warmup_steps else 1.0


def cyclic_rate(t: int, steps: Sequence[int], lrs: Sequence[float]) -> float:
    """Interpolate linearly between the points (steps[i], lrs[i]).

    As in the reference, t = 0 has the first rate, and every other t outside all intervals the last
    one, also where it lies before the first of `steps`.
    """
    if t == 0:
        return lrs[0]
    for start, end, lr_start, lr_end in zip(steps, steps[1:], lrs, lrs[1:], strict=False):
        if start <= t < end:
            fraction = (t - start) / (end - start + 1e-6)
            return (1 - fraction) * lr_start + fraction * lr_end
    return lrs[-1]


class Schedule(Protocol):
    """What the training loop asks of a schedule."""

    @property
    def per(self) -> Per:
        """Which counter is t."""

    @property
    def warmup_steps(self) -> int:
        """Length of the rise from 0, counted in `per`."""

    @property
    def run_steps(self) -> int | None:
        """Length that the schedule gives the run, counted in `per`; None: it gives none."""

    def factor(self, t: int, base_lr: float, total_steps: int) -> float:
        """Return rate / base_lr at call t of a run of `total_steps`, counted in `per`."""


@dataclass(frozen=True)
class WarmupSchedule(ABC):
    """A share of the optimizer's rate, with a linear warm-up.

    Args:
        per: what the counts count, updates or micro-batches.
        warmup_steps: length of the rise from 0.
    """

    per: Per = "optimizer_step"
    warmup_steps: CountOrZero = 0

    run_steps: ClassVar[None] = None

    @abstractmethod
    def factor(self, t: int, base_lr: float, total_steps: int) -> float:
        """Return rate / base_lr at call t of a run of `total_steps`."""


@ranged("scheduler")
@dataclass(frozen=True)
class ConstantSchedule(WarmupSchedule):
    """Warm-up, then the optimizer's rate; arguments as in `WarmupSchedule`."""

    def factor(self, t: int, base_lr: float, total_steps: int) -> float:
        """Return `constant_factor`."""
        return constant_factor(t, self.warmup_steps)


@ranged("scheduler")
@dataclass(frozen=True)
class LinearSchedule(WarmupSchedule):
    """Warm-up, then a straight line down to 0; further arguments as in `WarmupSchedule`.

    Args:
        total_steps: where the rate reaches 0; None: at the end of the run.
    """

    total_steps: Count | None = None

    def factor(self, t: int, base_lr: float, total_steps: int) -> float:
        """Return `linear_factor`."""
        return linear_factor(t, self.warmup_steps, self.total_steps or total_steps)


@ranged("scheduler")
@dataclass(frozen=True)
class CosineSchedule(WarmupSchedule):
    """Warm-up, then half a cosine down to 0; further arguments as in `WarmupSchedule`.

    Args:
        total_steps: where the rate reaches 0; None: at the end of the run.
    """

    total_steps: Count | None = None

    def factor(self, t: int, base_lr: float, total_steps: int) -> float:
        """Return `cosine_factor`."""
        return cosine_factor(t, self.warmup_steps, self.total_steps or total_steps)


@ranged("scheduler")
@dataclass(frozen=True)
class CyclicSchedule:
    """Rates given point by point; see `cyclic_rate`. They replace the optimizer's rate.

    Args:
        per: what the counts count, updates or micro-batches.
        steps: increasing counts; the run ends at the last one, as in the reference.
        lrs: a rate for each of them.

    Raises:
        InputError: the steps do not increase, or not each has one rate.
    """

    per: Per
    steps: Annotated[Sequence[CountOrZero], MinLen(1)]
    lrs: Annotated[Sequence[Rate], MinLen(1)]

    warmup_steps: ClassVar[int] = 0

    def __post_init__(self) -> None:
        steps, rates = list(self.steps), list(self.lrs)
        if len(steps) != len(rates) or sorted(set(steps)) != steps:
            raise InputError(
                f"scheduler.steps={steps}, scheduler.lrs={rates}: needs increasing steps and one "
                "rate for each"
            )

    @property
    def run_steps(self) -> int:
        """The last of `steps`."""
        return self.steps[-1]

    def factor(self, t: int, base_lr: float, total_steps: int) -> float:
        """Return `cyclic_rate` as a multiple of the optimizer's rate.

        Raises:
            InputError: the optimizer's rate is 0, which has no multiples.
        """
        if base_lr == 0:
            raise InputError("optimizer.lr=0: scheduler=cyclic needs a rate above 0 to multiply")
        return cyclic_rate(t, self.steps, self.lrs) / base_lr


def require_schedule(schedule: Schedule) -> Schedule:
    """Return a schedule if training can count by it.

    Raises:
        InputError: what it says of itself, or its first factor, is of another kind.
    """
    total = schedule.run_steps
    check("scheduler.per", schedule.per, Per)
    check("scheduler.warmup_steps", schedule.warmup_steps, CountOrZero)
    check("scheduler.run_steps", total, Count | None)
    factor = schedule.factor(0, 1.0, total or 1)
    if not isinstance(factor, int | float):
        raise InputError(
            f"scheduler._target_: {type(schedule).__name__}.factor() gives a "
            f"{type(factor).__name__}, where a number is needed; let it return one"
        )
    return schedule


def build_schedule(optimizer: Optimizer, schedule: Schedule, total_steps: int) -> LambdaLR:
    """Tie a schedule to an optimizer; each `step()` of the result is the next call t.

    All groups follow one factor, so that the ratios of their rates stay what they are.

    Warns once, by a log line, where the warm-up is longer than the run.

    Args:
        optimizer: its own rate is the schedule's base rate; the rates of t = 0 are set at once.
        schedule: gives the factors.
        total_steps: length of the run, counted in `schedule.per`.
    """
    if schedule.warmup_steps > total_steps:
        log.warning(
            "scheduler.warmup_steps=%d is longer than the run of %d: no step has the full rate",
            schedule.warmup_steps,
            total_steps,
        )

    base_lr = optimizer.defaults["lr"]
    return LambdaLR(optimizer, lambda t: schedule.factor(t, base_lr, total_steps))
