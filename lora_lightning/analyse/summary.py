"""What an analysis prints: a row a kind of slice, and the truncation curve."""

from collections.abc import Sequence
from statistics import fmean

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from lora_lightning.analyse.record import SliceRecord
from lora_lightning.analyse.truncation import Point
from lora_lightning.process.terminal import terminal_width

ENOUGH = 0.9  # of the squared norm


def print_summary(records: Sequence[SliceRecord], points: Sequence[Point]) -> None:
    """Print the means over layers of each kind of slice, and the loss at each rank."""
    console = Console(width=terminal_width())
    measures = ("layers", "‖ΔW‖", "‖W‖", "amplification", "effective rank", "similarity")
    table = Table(Column("slice", no_wrap=True), *measures)
    for kind in dict.fromkeys(record.kind for record in records):
        members = [record for record in records if record.kind == kind]
        norms = [record.amplification for record in members]
        alike = [r.similarity[-1][-1] for r in members if r.similarity is not None]
        table.add_row(
            escape(kind),
            str(len(members)),
            f"{fmean(n.update_norm for n in norms):.4g}",
            f"{fmean(n.weight_norm for n in norms):.4g}",
            f"{fmean(n.factor for n in norms):.3g}",
            f"{fmean(map(effective_rank, members)):.1f} of {len(members[0].singular_values)}",
            f"{fmean(alike):.3f}" if alike else "",
        )
    console.print(table)
    if points:
        curve = Table("rank kept", "loss per token")
        for point in points:
            curve.add_row(str(point.rank), f"{point.loss_per_token:.4f}")
        console.print(curve)


def effective_rank(record: SliceRecord) -> int:
    """Return how many directions hold 90 % of ‖ΔW‖²."""
    squares = [value * value for value in record.singular_values]
    total, held = sum(squares), 0.0
    for number, square in enumerate(squares, start=1):
        held += square
        if held >= ENOUGH * total:
            return number
    return len(squares)
