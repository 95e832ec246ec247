"""Slot errors as a metric of the E2E protocol."""

from collections.abc import Sequence

from lora_lightning.evaluation.measurement import Measurement, NotComputable
from lora_lightning.evaluation.segment import Segment
from lora_lightning.evaluation.signature import versions
from lora_lightning.evaluation.slots.errors import (
    SlotErrors,
    by_number_of_slots,
    by_slot,
    error_rate,
    slot_errors,
    totals,
)
from lora_lightning.evaluation.slots.meaning import NoMeaning


def measure_slot_errors(segments: Sequence[Segment]) -> Measurement:
    """Return the slot error rate of hypotheses, whose contexts are meaning representations.

    Raises:
        NotComputable: a context is not known, or no meaning representation of E2E.
    """
    errors = [_errors(segment) for segment in segments]
    return Measurement(
        errors,
        error_rate,
        f"slot error rate, rules of docs/slots.md; {versions()}",
        tokens=None,
        findings=("slots", [text.record() for text in errors]),
        breakdown={
            "totals": totals(errors),
            "by_slot": by_slot(errors),
            "by_number_of_slots": by_number_of_slots(errors),
        },
    )


def _errors(segment: Segment) -> SlotErrors:
    if segment.context is None:
        raise NotComputable(
            "it needs meaning representations: score a run's predictions, or a table with a "
            "column mr"
        )
    try:
        return slot_errors(segment.context, segment.hypothesis)
    except NoMeaning as error:
        raise NotComputable(f"group {segment.id}: {error}") from None
