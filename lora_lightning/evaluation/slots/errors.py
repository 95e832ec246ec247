"""Slot errors of texts: what was added, left out, or said with another value.

After Dušek, Howcroft and Rieser, "Semantic noise matters for neural natural language generation"
(INLG 2019, arXiv 1911.03905), whose counts for the same texts these are.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from lora_lightning.evaluation.slots.meaning import parse_meaning
from lora_lightning.evaluation.slots.reading import mentions
from lora_lightning.evaluation.slots.wordings import SLOTS, Value

REPEATS_COUNT = "customer rating[low]"


@dataclass(frozen=True)
class SlotErrors:
    """The slot errors of one text.

    Attributes:
        asked: the values of the meaning representation.
        added: values that were said in place of none.
        missing: values that were asked for, and nothing said in their place.
        wrong: pairs of what was asked for, and what was said in its place.
        repeated: how often `customer rating[low]` was said again; the published counts know no
            other repetition.
    """

    asked: tuple[Value, ...]
    added: list[Value] = field(default_factory=list)
    missing: list[Value] = field(default_factory=list)
    wrong: list[tuple[Value, Value]] = field(default_factory=list)
    repeated: int = 0

    @property
    def count(self) -> int:
        """The number of errors."""
        return len(self.added) + len(self.missing) + len(self.wrong) + self.repeated

    @property
    def numbers(self) -> tuple[int, int]:
        """What the rate adds up: errors, and values asked for."""
        return self.count, len(self.asked)

    def record(self) -> dict[str, list[str]]:
        """Return the errors as `slot[value]` and `slot[asked->said]`."""
        return {
            "added": [str(value) for value in self.added],
            "missing": [str(value) for value in self.missing],
            "wrong": [f"{asked.slot}[{asked.name}->{said.name}]" for asked, said in self.wrong],
        }


def slot_errors(meaning: str, text: str) -> SlotErrors:
    """Compare the values that a text says with those that its meaning representation asks for.

    In each slot, values asked for and not said, and values said and not asked for, make pairs of
    wrong ones; what is left of either is missing or added. A value said twice is no error.

    Raises:
        NoMeaning: `meaning` is no meaning representation of E2E.
    """
    asked = parse_meaning(meaning)
    found = mentions(text, asked)
    repeated = max(sum(str(value) == REPEATS_COUNT for value in found) - 1, 0)
    errors = SlotErrors(asked, repeated=repeated if REPEATS_COUNT in map(str, asked) else 0)
    for slot in SLOTS:
        unsaid = [value for value in asked if value.slot == slot and value not in found]
        unasked = [value for value in dict.fromkeys(found) if value.slot == slot]
        unasked = [value for value in unasked if value not in asked]
        pairs = min(len(unsaid), len(unasked))
        errors.wrong.extend(zip(unsaid[:pairs], unasked[:pairs], strict=True))
        errors.missing.extend(unsaid[pairs:])
        errors.added.extend(unasked[pairs:])
    return errors


def error_rate(texts: Iterable[SlotErrors]) -> float:
    """Return all errors of the texts divided by the number of all values asked for."""
    errors = list(texts)
    return sum(text.count for text in errors) / sum(len(text.asked) for text in errors)


def totals(texts: Sequence[SlotErrors]) -> dict[str, Any]:
    """Return counts and rates over texts: sums first, then one division.

    Each text is in one of four classes: `sentences_added_and_missing` if a slot of it is wrong, or
    one is added and one missing; else `sentences_added`, `sentences_missing` or `sentences_ok`.
    """
    classes = [_class(text) for text in texts]
    counts = {
        "added": sum(len(text.added) for text in texts),
        "missing": sum(len(text.missing) for text in texts),
        "wrong": sum(len(text.wrong) for text in texts),
        "repeated": sum(text.repeated for text in texts),
    }
    slots = sum(len(text.asked) for text in texts)
    return {
        "sentences": len(texts),
        "slots": slots,
        **counts,
        **{f"sentences_{name}": classes.count(name) for name in _CLASSES},
        "error_rate": sum(counts.values()) / slots,
        **{f"{kind}_rate": counts[kind] / slots for kind in ("added", "missing", "wrong")},
    }


_CLASSES = ("ok", "added", "missing", "added_and_missing")


def _class(text: SlotErrors) -> str:
    added = bool(text.added or text.repeated)
    if text.wrong or (added and text.missing):
        return "added_and_missing"
    return "added" if added else "missing" if text.missing else "ok"


def by_slot(texts: Sequence[SlotErrors]) -> dict[str, dict[str, int]]:
    """Return for each slot how often it was asked for, added, missing and wrong."""
    kinds = {
        "slots": [value.slot for text in texts for value in text.asked],
        "added": [value.slot for text in texts for value in text.added],
        "missing": [value.slot for text in texts for value in text.missing],
        "wrong": [asked.slot for text in texts for asked, _ in text.wrong],
    }
    return {slot: {kind: of.count(slot) for kind, of in kinds.items()} for slot in SLOTS}


def by_number_of_slots(texts: Sequence[SlotErrors]) -> dict[str, dict[str, Any]]:
    """Return the totals of the texts of each length of the meaning representation."""
    lengths = sorted({len(text.asked) for text in texts})
    return {
        str(length): totals([text for text in texts if len(text.asked) == length])
        for length in lengths
    }
