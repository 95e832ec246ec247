r"""TER as pyter computes it in GenerationEval (after Snover et al. 2006).

    TER = (shifts + edit distance after them) / reference length

Shifts are chosen greedily. For every pair i ≠ j with hypothesis[i] = reference[j], take the longest
common run that starts there, delete it from the hypothesis and insert it at index j of what is
left (at its end where j lies past it). The shift that lowers the edit distance (Levenshtein over
words, unit costs) most is made, on a tie the one with the lexicographically greatest list of
words; repeat until none lowers it. Unlike tercom, run length, distance and number of shifts have
no limit, and shorter parts of a run are not tried.

A segment scores the minimum over its references, 1 against an empty reference; the corpus score
is the plain mean over segments. It may exceed 1.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

Words = Sequence[str]

# Below this many segments, starting processes costs more than it saves.
_SEGMENTS_WORTH_A_PROCESS = 10_000


def ter(hypothesis: Words, references: Sequence[Words]) -> float:
    """Return the TER of one segment: the minimum over its references."""
    return min(
        pair_ter(hypothesis, reference) for reference in dict.fromkeys(map(tuple, references))
    )


def pair_ter(hypothesis: Words, reference: Words) -> float:
    """Return the TER of a hypothesis against one reference; 1 if the reference is empty."""
    if not reference:
        return 1.0
    # One character a word, in the order of the words: edit distances of strings are fast, and
    # comparing two strings compares the word lists.
    code = {word: chr(rank) for rank, word in enumerate(sorted({*hypothesis, *reference}))}
    target = "".join(code[word] for word in reference)
    return _edits("".join(code[word] for word in hypothesis), target) / len(target)


def ter_of_segments(
    hypotheses: Sequence[Words], references: Sequence[Sequence[Words]], processes: int
) -> list[float]:
    """Return the TER of each segment, large sets shared among `processes`."""
    if processes < 2 or len(hypotheses) < _SEGMENTS_WORTH_A_PROCESS:
        return [ter(*segment) for segment in zip(hypotheses, references, strict=True)]
    # A forked child of a process with threads (torch has some) may deadlock.
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        return list(pool.map(ter, hypotheses, references, chunksize=500))


def _edits(hypothesis: str, reference: str) -> int:
    from rapidfuzz.distance import Levenshtein

    places: defaultdict[str, list[int]] = defaultdict(list)
    for place, character in enumerate(reference):
        places[character].append(place)
    distance = Levenshtein.distance(hypothesis, reference)
    shifts = 0
    while distance and (shifted := _best_shift(hypothesis, reference, places, distance)):
        distance, hypothesis = shifted
        shifts += 1
    return shifts + distance


def _best_shift(
    hypothesis: str, reference: str, places: Mapping[str, list[int]], distance: int
) -> tuple[int, str] | None:
    """Return (edit distance, shifted hypothesis) of the best shift, None if none lowers it."""
    from rapidfuzz.distance import Levenshtein

    best: tuple[int, str] | None = None
    limit = distance - 1  # the largest distance still worth finding
    tried = {hypothesis}
    for start, target, length in _runs(hypothesis, places):
        # Moving `length` words changes any distance by at most that many deletions and insertions.
        if distance - 2 * length > limit:
            continue
        run = hypothesis[start : start + length]
        rest = hypothesis[:start] + hypothesis[start + length :]
        shifted = rest[:target] + run + rest[target:]
        if shifted in tried:
            continue
        tried.add(shifted)
        found = Levenshtein.distance(shifted, reference, score_cutoff=limit)
        if found < limit or (found == limit and (best is None or shifted > best[1])):
            best, limit = (found, shifted), found
    return best


def _runs(hypothesis: str, places: Mapping[str, list[int]]) -> Iterator[tuple[int, int, int]]:
    """Yield (start in hypothesis, start in reference, length) of each pair's longest run.

    Args:
        hypothesis: one character a word.
        places: where each character stands in the reference.
    """
    following: dict[int, int] = {}  # target of the next start → length
    for start in range(len(hypothesis) - 1, -1, -1):
        lengths = {
            target: following.get(target + 1, 0) + 1 for target in places.get(hypothesis[start], ())
        }
        for target, length in lengths.items():
            if start != target:
                yield start, target, length
        following = lengths
