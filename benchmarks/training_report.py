"""Numbers of a comparison, and how they are printed."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

Row = tuple[str, str, str, str]
"""Of the table: who or what, the time of a step, memory above the base, a remark."""
HEAD = ("", "a step", "memory above the base", "")


@dataclass
class Measurement:
    """What one contender took."""

    name: str
    seconds: list[float] = field(default_factory=list)
    bytes: int = 0

    @property
    def median(self) -> float:
        """Median seconds of a step."""
        return statistics.median(self.seconds)

    @property
    def spread(self) -> str:
        """Fastest and slowest step."""
        return f"{min(self.seconds):.3f} … {max(self.seconds):.3f}"


def paired_ratio(peer: Measurement, ours: Measurement) -> float:
    """Return the median over rounds of peer / ours: both ran in turn, so noise hits both."""
    pairs = zip(peer.seconds, ours.seconds, strict=True)
    return statistics.median(theirs / own for theirs, own in pairs)


def line(measurement: Measurement, remark: str = "") -> Row:
    """Print one contender, and return its row of the table."""
    time = f"{measurement.median:.3f} s ({measurement.spread})"
    return said(measurement.name, time, f"{measurement.bytes / 1e6:,.0f} MB", remark)


def said(what: str, time: str = "", memory: str = "", remark: str = "") -> Row:
    """Print a row of the table, and return it."""
    print(f"  {what:<34}{time:<28}{memory:>10}  {remark}".rstrip(), flush=True)
    return what, time, memory, remark


def spread(values: Sequence[float]) -> str:
    """Return the median, and the least and the most."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} … {max(values):.2f})"
