r"""METEOR 1.5 (Denkowski and Lavie 2014), `-l en -norm`: the matches from the official jar.

The jar aligns a hypothesis with its best reference in four stages (exact, stem, synonym,
paraphrase; weights w = 1, .6, .8, .6) and prints 23 numbers; the score follows from them. With
content and function words weighted δ and 1 - δ:

    P = Σ_stage w (δ·content + (1-δ)·function) / (δ·(length - functions) + (1-δ)·functions)
    R = the same on the reference side;  F = P R / (α P + (1-α) R)
    METEOR = F · (1 - γ · (chunks / matched words)^β),  matched words = mean of both sides

α = .85, β = .2, γ = .6, δ = .75. A segment that matches wholly in one chunk has no penalty. The
corpus score comes from the **summed** numbers, to which such a segment adds no chunk; it is not
the mean of the segments' scores, which is far higher.

It takes each segment by itself, so the segments of a large set are dealt out to several processes.
The jar gets its table of paraphrases cut down to those that the texts can hold, which changes none
of its numbers and spares it ten seconds of loading (`paraphrases/index.py`).
"""

import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from lora_lightning.evaluation.java import METEOR_JAR, PARAPHRASES, SHA256, Java, jar, run_java
from lora_lightning.evaluation.measurement import NotComputable
from lora_lightning.evaluation.segment import one_line

ALPHA, BETA, GAMMA, DELTA = 0.85, 0.2, 0.6, 0.75
STAGE_WEIGHTS = (1.0, 0.6, 0.8, 0.6)
_NUMBERS = 23
_TEXTS_WORTH_A_PROCESS = 1_500  # half a second of starting pays from here on
_MOST_PROCESSES = 4  # a thread and some hundred MB each
_SECONDS = 180.0  # loading the paraphrases takes 4 to 20 s
_SECONDS_PER_TEXT = 0.02

NAME = "METEOR 1.5 (-l en -norm), corpus score from summed statistics"
BAR = "|||"  # divides fields on the jar's input lines
_ESCAPE = "DOTMULTI"  # what the jar writes for dots, so that in a text its letters are lost


@dataclass(frozen=True)
class Side:
    """Words of the hypotheses or of the references: all, function words, and matches by stage."""

    words: float
    functions: float
    content_matches: tuple[float, ...]
    function_matches: tuple[float, ...]
    matched: float

    def weighted_share(self) -> float:
        """Return precision (of the hypotheses' side) or recall (of the references')."""
        matches = sum(
            weight * (DELTA * content + (1 - DELTA) * function)
            for weight, content, function in zip(
                STAGE_WEIGHTS, self.content_matches, self.function_matches, strict=True
            )
        )
        words = DELTA * (self.words - self.functions) + (1 - DELTA) * self.functions
        return matches / words if words else 0.0


Statistics = tuple[float, ...]


def statistics(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    java: Java,
    cache: Path | None = None,
) -> list[Statistics]:
    """Return the jar's 23 numbers for each segment, a perfect segment's chunks set to 0.

    Args:
        hypotheses: one text a segment.
        references: the texts it is compared with. A `|||` in any text divides it in two: the
            caller decides what to do with it.
        java: the runtime.
        cache: where the index of the paraphrases is kept; None: the jar loads all of them.

    Raises:
        NotComputable: Java failed, or its output does not fit the segments.
    """
    lines = [
        one_line(f" {BAR} ".join(["SCORE", *dict.fromkeys(group), hypothesis]))
        for hypothesis, group in zip(hypotheses, references, strict=True)
    ]
    texts = sum(map(len, references))
    count = max(1, min(os.cpu_count() or 1, _MOST_PROCESSES, texts // _TEXTS_WORTH_A_PROCESS))
    parts = [range(first, len(lines), count) for first in range(count)]
    answers = [""] * len(lines)
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(count) as threads:
        paraphrases = _paraphrases(lines, cache, Path(name, "paraphrases.gz"))

        def answer(part: range) -> list[str]:
            folder = Path(name, str(part.start))
            folder.mkdir()
            return _answers([lines[i] for i in part], paraphrases, folder, java, texts)

        for part, found in zip(parts, threads.map(answer, parts), strict=True):
            answers[part.start :: count] = found
    return [_parse(answer) for answer in answers]


def _answers(
    lines: Sequence[str], paraphrases: Path, folder: Path, java: Java, texts: int
) -> list[str]:
    """Return the jar's answer to each line, from one process that works in `folder`.

    Args:
        lines: what the process reads.
        paraphrases: its table.
        folder: a new one.
        java: the runtime.
        texts: how many references all processes have between them, which decides how long it may
            take.
    """
    source, target = folder / "segments", folder / "statistics"
    with source.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in lines)
    # In this mode the jar answers each line with the numbers of the best reference, so one process
    # serves the corpus, its subsets and the segments.
    # Its own way to the paraphrases, from its jar's address, fails below a folder with a space.
    arguments = ["-jar", str(jar(METEOR_JAR)), "-", "-", "-stdio", "-l", "en", "-norm",
                 "-a", str(paraphrases)]  # fmt: skip
    run_java(java, arguments, source, target, _SECONDS + _SECONDS_PER_TEXT * texts, texts)
    answers = target.read_text("utf-8", "replace").splitlines()
    if len(answers) != len(lines):
        raise NotComputable(f"METEOR answered {len(answers)} of {len(lines)} segments")
    return answers


def meteor(statistics: Sequence[Statistics]) -> float:
    """Return METEOR over the segments, 0..1, from the sums of their statistics."""
    sums = [sum(column) for column in zip(*statistics, strict=True)]
    hypothesis, reference, chunks = _sides(sums)
    precision, recall = hypothesis.weighted_share(), reference.weighted_share()
    if precision == 0 or recall == 0:
        return 0.0
    f_mean = precision * recall / (ALPHA * precision + (1 - ALPHA) * recall)
    fragmentation = chunks / ((hypothesis.matched + reference.matched) / 2)
    return f_mean * (1 - GAMMA * fragmentation**BETA)


def _paraphrases(lines: Sequence[str], cache: Path | None, cut: Path) -> Path:
    """Return the table for lines: what of the official one they can hold, written to `cut`."""
    if cache is None or any(_ESCAPE in line for line in lines):
        return jar(PARAPHRASES)
    # Here, as these import numpy, and there is METEOR.
    from lora_lightning.evaluation.paraphrases.index import paraphrase_index
    from lora_lightning.evaluation.paraphrases.letters import keys_within

    index = paraphrase_index(lambda: jar(PARAPHRASES), SHA256[PARAPHRASES], cache)
    if index is None:
        return jar(PARAPHRASES)
    index.cut(keys_within(lines), cut)
    return cut


def _parse(line: str) -> Statistics:
    try:
        numbers = [float(number) for number in line.split()]
    except ValueError:
        numbers = []
    if len(numbers) != _NUMBERS:
        raise NotComputable(f"METEOR answered {line[:80]!r} in place of {_NUMBERS} numbers")
    hypothesis, reference, chunks = _sides(numbers)
    whole = hypothesis.matched == hypothesis.words and reference.matched == reference.words
    if chunks == 1 and whole:
        numbers[-3] = 0.0
    return tuple(numbers)


def _sides(numbers: Sequence[float]) -> tuple[Side, Side, float]:
    """Return (hypotheses' side, references' side, chunks)."""
    words, functions, stages = numbers[0:2], numbers[2:4], numbers[4:20]
    chunks, matched = numbers[20], numbers[21:23]
    hypothesis, reference = (
        Side(
            words[side],
            functions[side],
            tuple(stages[side::4]),
            tuple(stages[2 + side :: 4]),
            matched[side],
        )
        for side in (0, 1)
    )
    return hypothesis, reference, chunks
