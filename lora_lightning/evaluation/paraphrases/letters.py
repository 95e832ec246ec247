"""Which phrases lines of text can hold, by a hash of a phrase's letters alone.

METEOR divides a line into words by rules for dots, dashes, apostrophes and commas, and may join
what a dot divided (`u.s.` is `us`). None of them moves a letter, or divides a run of ASCII letters
and digits. So if a line holds a phrase, the phrase's ASCII letters and digits, written together,
are those of consecutive runs of the line, whatever stands between them. The converse does not hold.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LONGEST = 40
"""Letters of a stretch that is looked for; of the phrases, four in a thousand have more."""

Keys = NDArray[np.uint64]
Places = NDArray[np.int64]

# A stretch is a polynomial of its letters in _BASE, in arithmetic modulo 2⁶⁴.
_BASE = 0x9E3779B97F4A7C15
_INVERSE = pow(_BASE, -1, 1 << 64)
_IS_LETTER = np.zeros(256, bool)
_IS_LETTER[list(b"0123456789abcdefghijklmnopqrstuvwxyz")] = True
_NEWLINE = 10
_BLOCK = 1 << 20  # characters of text at once
_KELVIN = "\u212a"  # no letter to METEOR before it is lower-cased, and `k` after


@dataclass(frozen=True)
class _Letters:
    """The letters of lines.

    Attributes:
        places: place of each letter in the text.
        sums: at i the polynomial of the first i letters, each at its power of the base.
        inverses: powers of the base's inverse.
    """

    places: Places
    sums: Keys
    inverses: Keys

    @classmethod
    def of(cls, text: NDArray[np.uint8]) -> "_Letters":
        places = np.flatnonzero(_IS_LETTER[text])
        powers = _powers(_BASE, len(places))
        sums = np.zeros(len(places) + 1, np.uint64)
        np.cumsum(text[places] * powers, out=sums[1:])
        return cls(places, sums, _powers(_INVERSE, len(places) + 1))

    def keys(self, begins: Places, ends: Places) -> Keys:
        """Return the hash of the letters from each of `begins` to each of `ends`, exclusive."""
        return (self.sums[ends] - self.sums[begins]) * self.inverses[begins]


def _powers(base: int, count: int) -> Keys:
    factors = np.full(count, base, np.uint64)
    factors[:1] = 1
    return np.cumprod(factors)


def keys_of_phrases(
    phrases: NDArray[np.uint8], begins: Places, ends: Places
) -> tuple[Keys, Places]:
    """Return the key of each phrase, and how many letters it has.

    Args:
        phrases: their bytes, lower-cased.
        begins: where each begins.
        ends: where each ends.
    """
    letters = _Letters.of(phrases)
    first, last = (np.searchsorted(letters.places, places) for places in (begins, ends))
    return letters.keys(first, last), last - first


def keys_within(lines: Sequence[str]) -> Iterator[Keys]:
    """Yield, some lines at a time, the keys of all stretches of at most `LONGEST` letters.

    Args:
        lines: texts without line breaks, in any case.
    """
    block: list[str] = []
    length = 0
    for line in lines:
        block.append(line)
        length += len(line)
        if length > _BLOCK:
            yield from _keys_of_block(block)
            block, length = [], 0
    yield from _keys_of_block(block)


def _keys_of_block(lines: Sequence[str]) -> Iterator[Keys]:
    joined = "\n".join(lines).replace(_KELVIN, " k ").lower()
    text = np.frombuffer(joined.encode("utf-8"), np.uint8)
    letters = _Letters.of(text)
    places = letters.places
    begins = np.flatnonzero(np.diff(places, prepend=-2) > 1)
    line_of_run = np.searchsorted(np.flatnonzero(text == _NEWLINE), places[begins])
    ends = np.append(begins[1:], len(places))
    for more in range(len(begins)):
        first, last = begins[: len(begins) - more], ends[more:]
        is_one_line = line_of_run[: len(begins) - more] == line_of_run[more:]
        fits = is_one_line & (last - first <= LONGEST)
        if not fits.any():
            return
        yield letters.keys(first[fits], last[fits])
