"""Numbers of a comparison, and how they are printed."""

import platform
import statistics
from dataclasses import dataclass, field
from pathlib import Path

import torch


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
        return f"{min(self.seconds):.3f} to {max(self.seconds):.3f} s"


def paired_ratio(peer: Measurement, ours: Measurement) -> float:
    """Return the median over rounds of peer / ours: both ran in turn, so noise hits both."""
    pairs = zip(peer.seconds, ours.seconds, strict=True)
    return statistics.median(theirs / own for theirs, own in pairs)


def line(measurement: Measurement, remark: str = "") -> None:
    """Print one contender."""
    print(
        f"  {measurement.name:<18}{measurement.median:>8.3f} s  ({measurement.spread})"
        f"{measurement.bytes / 1e6:>9.0f} MB  {remark}",
        flush=True,
    )


def machine() -> str:
    """Return the name of what the numbers were measured on."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    names = [
        row.split(":")[1].strip()
        for row in Path("/proc/cpuinfo").read_text().splitlines()
        if row.startswith("model name")
    ]
    name = names[0] if names else platform.processor()
    return f"{name}, {torch.get_num_threads()} threads, torch {torch.__version__}"
