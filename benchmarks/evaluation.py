"""How long an evaluation takes, and our TER against pyter3 on the same segments.

    python benchmarks/evaluation.py [folder with the golden scores]

The first part runs `evaluate.py` as a process on whole test sets, Java's start included. The bound
is METEOR's own jar run alone on the same segments: no evaluation with METEOR can be faster. The
second part times TER in turn in this process, pyter3 and ours, on pairs that are equal once each.
The official scripts' own figures (2 shared cores, CPU seconds): E2E 20, WebNLG METEOR 12 and TER
14 to 28 under PyPy (CPython 300), DART METEOR 17.
"""

import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from lora_lightning.evaluation.files import read_hypotheses, read_reference_files
from lora_lightning.evaluation.metrics.ter import pair_ter

ROOT = Path(__file__).parents[1]
RUNS = 3
PAIRS = 400


def main() -> None:
    """Print both tables."""
    scores = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT.parent / "shared/golden/scores"
    print(f"{'evaluate.py, whole process':<36}{'median s':>10}{'min':>8}{'max':>8}")
    for name, arguments in test_sets(scores).items():
        seconds = [timed(lambda arguments=arguments: evaluate(arguments)) for _ in range(RUNS)]
        print(f"{name:<36}{spread(seconds)}")
    compare_ter(scores)


def test_sets(scores: Path) -> dict[str, list[str]]:
    """Return the command's arguments for each set whose files are there."""
    webnlg = ",".join(str(scores / f"webnlg/reference{i}.all.txt.gz") for i in range(6))
    dart = ",".join(str(scores / f"dart/reference{i}.txt.gz") for i in range(6))
    sets = {
        "E2E, 630 segments": [
            "protocol=e2e",
            f"hypotheses={scores}/e2e/lora_gpt2_medium.hypotheses.txt",
            f"references={scores}/e2e/references_test.txt.gz",
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
    return {name: arguments for name, arguments in sets.items() if scores.is_dir()}


def evaluate(arguments: list[str]) -> None:
    """Run evaluate.py into a folder that is thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, ROOT / "evaluate.py", *arguments, f"output_dir={folder}/scores"],
            check=True,
            capture_output=True,
        )


def compare_ter(scores: Path) -> None:
    """Time pyter3 and ours in turn on the same pairs, and check that they agree."""
    import pyter

    pairs = ter_pairs(scores)
    expected = [pyter.ter(hypothesis, reference) for hypothesis, reference in pairs]
    assert expected == [pair_ter(hypothesis, reference) for hypothesis, reference in pairs]
    ratios, peer, own = [], [], []
    for _ in range(RUNS):
        peer.append(timed(lambda: [pyter.ter(*pair) for pair in pairs]))
        own.append(timed(lambda: [pair_ter(*pair) for pair in pairs]))
        ratios.append(peer[-1] / own[-1])
    print(f"\n{f'TER, {len(pairs)} pairs':<36}{'median':>10}{'min':>8}{'max':>8}")
    print(f"{'pyter3, s':<36}{spread(peer)}")
    print(f"{'ours, s':<36}{spread(own)}")
    print(f"{'pyter3 / ours':<36}{spread(ratios)}")


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
    """Return median, least and largest as columns."""
    return f"{statistics.median(values):>10.2f}{min(values):>8.2f}{max(values):>8.2f}"


if __name__ == "__main__":
    main()
