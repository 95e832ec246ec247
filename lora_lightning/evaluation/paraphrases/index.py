"""METEOR's table of paraphrases cut down to those that given texts can hold.

The official jar spends nearly all of its time on loading five million pairs of phrases, of which a
test set can match some ten thousand. A pair that is left out cannot match, and the others keep
their order, so every number stays what the whole table gives.

The cut is made from an index of the table: its distinct phrases, a key of each (`letters.py`), and
the pairs as numbers of phrases. It is made once, in some seconds, and mapped from disk afterwards.
"""

import gzip
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lora_lightning.evaluation.paraphrases.letters import LONGEST, Keys, keys_of_phrases
from lora_lightning.files import atomic_folder

log = logging.getLogger(__name__)

LINES_OF_A_PAIR = 3  # a probability, which the jar does not use; a phrase; its paraphrase
FORMAT = 1  # of the index's files; part of their folder's name
_BLOCK = 1 << 23
_MARKS = 24  # bits of a key that choose its mark
_MIX = np.uint64(0xD6E8FEB86659FD93)


@dataclass(frozen=True)
class ParaphraseIndex:
    """A table of paraphrases, taken apart.

    Attributes:
        phrases: the distinct phrases, a line feed after each, as bytes of UTF-8.
        ends: where each phrase ends, its line feed included.
        keys: the key of each phrase's letters; of phrases with more than `LONGEST` letters, 0.
        is_always_kept: whether a phrase has no letters, or too many to be looked for.
        pairs: numbers of a phrase and of its paraphrase, in the table's order, `[pairs, 2]`.
    """

    phrases: NDArray[np.uint8]
    ends: NDArray[np.int64]
    keys: Keys
    is_always_kept: NDArray[np.bool_]
    pairs: NDArray[np.int32]

    @classmethod
    def build(cls, table: Path) -> "ParaphraseIndex":
        """Take a table in METEOR's format apart, in some seconds and 750 MB."""
        numbers: defaultdict[bytes, int] = defaultdict(count().__next__)
        parts = [
            np.fromiter(map(numbers.__getitem__, lines), np.int32, len(lines))
            for lines in _lines_of_phrases(table)
        ]
        pairs = np.concatenate([np.zeros(0, np.int32), *parts]).reshape(-1, 2)
        phrases = np.frombuffer(b"\n".join(numbers) + b"\n", np.uint8)
        ends = np.cumsum(np.fromiter(map(len, numbers), np.int64, len(numbers)) + 1)
        keys, lengths = _keys(phrases, ends)
        return cls(phrases, ends, keys, (lengths == 0) | (lengths > LONGEST), pairs)

    @classmethod
    def open(cls, folder: Path) -> "ParaphraseIndex":
        """Map what `save` wrote.

        Raises:
            OSError: a file is missing.
            ValueError: a file is broken.
        """
        arrays = {
            field.name: np.load(folder / f"{field.name}.npy", mmap_mode="r", allow_pickle=False)
            for field in fields(cls)
        }
        return cls(**arrays)

    def save(self, folder: Path) -> None:
        """Write an array a file; the folder is there as a whole or not at all.

        Raises:
            OSError: of the disk.
        """
        with atomic_folder(folder) as temporary:
            for field in fields(self):
                np.save(temporary / f"{field.name}.npy", getattr(self, field.name))

    def cut(self, keys: Iterable[Keys], path: Path) -> int:
        """Write the pairs whose phrases may both occur, as a table that the jar reads.

        Args:
            keys: of everything that occurs, such as from `keys_within`; some more do no harm.
            path: a `.gz` file.

        Returns:
            How many pairs it has.
        """
        is_kept = self._may_occur(keys)
        # A phrase, and of what is left its paraphrase: few of the five million pairs are looked up.
        pairs = self.pairs[is_kept[self.pairs[:, 0]]]
        pairs = pairs[is_kept[pairs[:, 1]]]
        begins = np.append(0, self.ends)
        blob = self.phrases.data
        phrase = {
            number: bytes(blob[begins[number] : begins[number + 1]])
            for number in np.unique(pairs).tolist()
        }
        with gzip.open(path, "wb", compresslevel=1) as file:
            file.writelines(b"1\n" + phrase[a] + phrase[b] for a, b in pairs.tolist())
        return len(pairs)

    def _may_occur(self, keys: Iterable[Keys]) -> NDArray[np.bool_]:
        """Return for each phrase whether one of the keys may be its own.

        Two marks for a key, as in a Bloom filter: keys of any number take the same memory.
        """
        first, second = np.zeros((2, 1 << _MARKS), bool)
        for some in keys:
            first[_first_marks(some)] = True
            second[_second_marks(some)] = True
        is_kept = first[_first_marks(self.keys)]
        likely = np.flatnonzero(is_kept)
        is_kept[likely] = second[_second_marks(self.keys[likely])]
        return is_kept | self.is_always_kept


def paraphrase_index(table: Callable[[], Path], sha256: str, cache: Path) -> ParaphraseIndex | None:
    """Return the index of a table from the cache, or build it there.

    A broken one is built anew. Where nothing can be written there is none, with a line.

    Args:
        table: returns the path of the table; called where the index has to be built.
        sha256: of the table; its index lies in a folder of this name.
        cache: folder of all indexes.
    """
    folder = cache / f"paraphrases-{FORMAT}-{sha256[:32]}"
    if folder.is_dir():
        try:
            return ParaphraseIndex.open(folder)
        except (OSError, ValueError) as error:
            log.warning("%s: broken (%s); built anew", folder, error)
    log.info("indexing METEOR's paraphrases, once, into %s", folder)
    try:
        ParaphraseIndex.build(table()).save(folder)
    except OSError as error:
        log.warning("%s: cannot be written (%s); METEOR loads its whole table", folder, error)
        return None
    return ParaphraseIndex.open(folder)


def _first_marks(keys: Keys) -> Keys:
    return keys >> np.uint64(64 - _MARKS)


def _second_marks(keys: Keys) -> Keys:
    return (keys ^ (keys >> np.uint64(32))) * _MIX >> np.uint64(64 - _MARKS)


def _lines_of_phrases(table: Path) -> Iterator[list[bytes]]:
    """Yield the lines of both phrases of each pair, some pairs at a time."""
    rest: list[bytes] = [b""]
    with gzip.open(table) as file:
        while block := file.read(_BLOCK):
            lines = (rest[-1] + block).split(b"\n")
            lines[:0] = rest[:-1]
            whole = (len(lines) - 1) // LINES_OF_A_PAIR * LINES_OF_A_PAIR
            rest = lines[whole:]
            del lines[whole:], lines[::LINES_OF_A_PAIR]
            yield lines


def _keys(phrases: NDArray[np.uint8], ends: NDArray[np.int64]) -> tuple[Keys, NDArray[np.int64]]:
    """Return keys and numbers of letters of all phrases, found some at a time."""
    begins = np.append(0, ends[:-1])
    keys, lengths = np.zeros(len(ends), np.uint64), np.zeros(len(ends), np.int64)
    step = 1 << 16
    for first in range(0, len(ends), step):
        here = slice(first, first + step)
        start, stop = begins[here][0], ends[here][-1]
        keys[here], lengths[here] = keys_of_phrases(
            phrases[start:stop], begins[here] - start, ends[here] - start
        )
    return keys, lengths
