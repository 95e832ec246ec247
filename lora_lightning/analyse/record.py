"""What `analysis.json` says of each slice."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lora_lightning.analyse.measures import Amplification, amplification, subspace_similarity
from lora_lightning.analyse.updates import SliceUpdate
from lora_lightning.errors import InputError
from lora_lightning.methods.targets import name_pattern


@dataclass(frozen=True)
class SliceRecord:
    """One adapted slice.

    Attributes:
        name: the projection, and its slice.
        kind: the same with `*` for the layer's number.
        singular_values: of ΔW, the largest first.
        amplification: how ΔW stands to W.
        similarity: φ(i, j) with the other run, where there is one.
    """

    name: str
    kind: str
    singular_values: list[float]
    amplification: Amplification
    similarity: list[list[float]] | None = None

    def content(self) -> dict[str, Any]:
        """Return the record as JSON holds it."""
        record = {key: value for key, value in asdict(self).items() if value is not None}
        return {**record, **record.pop("amplification")}


def slice_records(
    updates: Sequence[SliceUpdate], others: Mapping[str, SliceUpdate] | None
) -> list[SliceRecord]:
    """Measure every slice, and beside those of another run, where there are some.

    Raises:
        InputError: the other run has none of these slices, or another base's.
    """
    if others is not None and not others.keys() & {update.name for update in updates}:
        raise InputError(
            f"against=…: adapts {', '.join(list(others)[:2])} …, run=… {updates[0].name} …; no "
            "slice is adapted by both"
        )
    return [_record(update, None if others is None else others.get(update.name))
            for update in updates]  # fmt: skip


def _record(update: SliceUpdate, other: SliceUpdate | None) -> SliceRecord:
    grid = None
    if other is not None:
        if other.weight.shape != update.weight.shape:
            raise InputError(f"against=…: {other.name} has another shape; give a run of this base")
        grid = subspace_similarity(update.update.right, other.update.right).tolist()
    kind = name_pattern(update.name).removeprefix("transformer.h.*.")
    values = update.update.values.tolist()
    return SliceRecord(update.name, kind, values, amplification(update.weight, update.update), grid)
