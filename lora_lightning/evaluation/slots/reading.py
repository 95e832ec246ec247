"""Which slot values a text says."""

from collections import defaultdict
from collections.abc import Sequence

from lora_lightning.evaluation.slots.wordings import NAME_VALUES, OTHER_VALUES, VALUES, Value

Span = tuple[int, int]
"""First character of a hit, and the one after its last."""


def mentions(text: str, asked: Sequence[Value] = ()) -> list[Value]:
    """Return the values that a text says, as `located_mentions`."""
    return [value for value, _ in located_mentions(text, asked)]


def located_mentions(text: str, asked: Sequence[Value] = ()) -> list[tuple[Value, Span]]:
    """Return the values that a text says, once for each place, in the order of the lists.

    A hit inside a longer one does not count, whatever slot the longer one is of. Of values with
    hits on the same characters one counts: one that was asked for, else the first of the lists.

    Args:
        text: as it was written; case does not matter.
        asked: the values of the meaning representation.
    """
    others = [value for value in asked if value not in _ORDER]
    hits: defaultdict[Span, list[Value]] = defaultdict(list)
    lowered = text.lower()
    present = [value for value in NAME_VALUES if value.name.lower() in lowered]
    for value in (*present, *OTHER_VALUES, *others):
        for hit in value.pattern.finditer(lowered):
            hits[hit.span()].append(value)
    return [
        (next((value for value in values if value in asked), values[0]), span)
        for span, values in sorted(hits.items(), key=lambda item: _ORDER.get(item[1][0], 0))
        if not any(_is_inside(span, longer) for longer in hits)
    ]


_ORDER = {value: place for place, value in enumerate(VALUES)}


def _is_inside(span: Span, other: Span) -> bool:
    return other[0] <= span[0] and span[1] <= other[1] and span != other
