"""How fast training goes: tokens, rows and arithmetic of each update over its time."""

import time
from dataclasses import dataclass
from statistics import median

import torch

WARM_UP_UPDATES = 5  # not counted in the medians


@dataclass
class Work:
    """What one update, or a micro-batch of it, did.

    Attributes:
        tokens: context and completion ids of the rows, whether computed or not.
        rows: number of rows.
        flops: nominal operations, see `training_flops`.
    """

    tokens: int = 0
    rows: int = 0
    flops: float = 0.0

    def __add__(self, other: "Work") -> "Work":
        return Work(self.tokens + other.tokens, self.rows + other.rows, self.flops + other.flops)


class Throughput:
    """Keeps the work and the time of every update of this rank.

    On a GPU the times are taken by events on the device: the host runs ahead of it, and waiting for
    it at every update would slow it down.

    Args:
        device: where training runs.
        peak: the device's operations a second, None where it was not measured.
    """

    def __init__(self, device: torch.device, peak: float | None = None) -> None:
        self.device = device
        self.peak = peak
        self._work: list[Work] = []
        self._marks: list[tuple[Mark, Mark]] = []
        self._begin = self._mark()

    def restart(self) -> None:
        """Begin an update now, after something that is no part of training."""
        self._begin = self._mark()

    def add(self, work: Work) -> None:
        """End an update, and begin the next one."""
        end = self._mark()
        self._work.append(work)
        self._marks.append((self._begin, end))
        self._begin = end

    def last(self) -> dict[str, float]:
        """Return the rates of the last update; on a GPU this waits for it."""
        return self._rates(self._work[-1], self._marks[-1])

    def medians(self) -> dict[str, float] | None:
        """Return the medians over the updates after the fifth, None where there are none."""
        counted = list(zip(self._work, self._marks, strict=True))[WARM_UP_UPDATES:]
        rates = [self._rates(work, marks) for work, marks in counted]
        if not rates:
            return None
        return {key: median(rate[key] for rate in rates) for key in rates[0]}

    def _rates(self, work: Work, marks: tuple["Mark", "Mark"]) -> dict[str, float]:
        seconds = _seconds_between(*marks)
        rates = {
            "tokens_per_second": work.tokens / seconds,
            "rows_per_second": work.rows / seconds,
        }
        if self.peak is not None:
            rates["share_of_peak"] = work.flops / seconds / self.peak
        return rates

    def _mark(self) -> "Mark":
        if self.device.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event


Mark = float | torch.cuda.Event


def _seconds_between(begin: Mark, end: Mark) -> float:
    if isinstance(begin, float) or isinstance(end, float):
        assert isinstance(begin, float)
        assert isinstance(end, float)
        return end - begin
    end.synchronize()
    return begin.elapsed_time(end) / 1000
