"""Meaning representations of E2E, in its own notation or that of the text files."""

import re
from functools import cache

from lora_lightning.evaluation.slots.wordings import SLOTS, VALUES, Value, literal_value

# What the text files call otherwise.
_SLOTS = {slot.lower(): slot for slot in SLOTS} | {
    "type": "eatType",
    "price": "priceRange",
    "family friendly": "familyFriendly",
}
_SIGNS = re.compile(r"\s*([£-])\s*")
_BRACKETED = re.compile(r"\s*([^\[\],]+?)\s*\[([^\]]*)\]\s*(?:,|$)")
_VALUES = {(value.slot, _SIGNS.sub(r"\1", value.name).lower()): value for value in VALUES}


class NoMeaning(ValueError):
    """A text is no meaning representation of E2E; the message says why."""


@cache
def parse_meaning(text: str) -> tuple[Value, ...]:
    """Return the values that a meaning representation asks for, in order, each once.

    Args:
        text: `name[Zizzi], eatType[pub]`, or `name : Zizzi | Type : pub`. A value outside of the
            data set's lists is said as it is written.

    Raises:
        NoMeaning: it has another form, or a slot that E2E does not have.
    """
    values = [_value(slot.strip(), name.strip()) for slot, name in _pairs(text)]
    return tuple(dict.fromkeys(values))


def _pairs(text: str) -> list[tuple[str, str]]:
    if "[" in text:
        pairs, end = [], 0
        while end < len(text) and (part := _BRACKETED.match(text, end)):
            pairs.append((part[1], part[2]))
            end = part.end()
        if end == len(text):
            return pairs
    else:
        parts = [part.partition(" : ") for part in text.split(" | ")]
        if all(slot.strip() and name.strip() for slot, _, name in parts):
            return [(slot, name) for slot, _, name in parts]
    raise NoMeaning(
        f"{text[:80]!r} is no meaning representation: write slot[value], slot[value] or "
        "slot : value | slot : value"
    )


def _value(slot: str, name: str) -> Value:
    known = _SLOTS.get(slot.lower())
    if known is None:
        raise NoMeaning(f"slot {slot!r}: E2E has {', '.join(SLOTS)}")
    if not name:
        raise NoMeaning(f"slot {slot!r} has no value")
    return _VALUES.get((known, _SIGNS.sub(r"\1", name).lower())) or literal_value(known, name)
