"""What `python -m lora_lightning.compare` costs, and how often its tests see what is not there.

    python benchmarks/comparison.py times [--folders <where evaluations are kept>] [--write]
    python benchmarks/comparison.py rates [--trials 1000] [--folders …] [--write]

times: seconds and peak memory of whole processes, from evaluated folders, with 10,000 samples;
DART's second system is the first with every third text cut by a word, as there is one alone ·
rates: how often p < 0.05 where systems do not differ, over sentences on the golden outputs of E2E,
exchanged at random, and over seeds on made scores. --write puts the former's table into
benchmarks/README.md, the latter's into docs/compare.md. Both read the golden scores in
LORA_LIGHTNING_GOLDENS, or ../shared/golden.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from statistics import median

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import table  # noqa: E402
from lora_lightning.compare.comparison import Statistics, compared  # noqa: E402
from lora_lightning.compare.corpus_scores import CORPUS_SCORES, Array  # noqa: E402
from lora_lightning.compare.resampling import bootstrap_weights  # noqa: E402
from lora_lightning.evaluation.files import read_hypotheses, write_lines  # noqa: E402
from lora_lightning.evaluation.statistics_file import read_statistics  # noqa: E402

SCORES = Path(os.environ.get("LORA_LIGHTNING_GOLDENS", ROOT.parent / "shared/golden")) / "scores"
PAGE = ROOT / "docs" / "compare.md"
ROUNDS = 3
HEAD = ("`compare`, 10,000 samples, whole process", "", "peak memory")
SENTENCES, SAMPLES = 630, 1000
MEAN = {"score": CORPUS_SCORES["e2e"]["rouge_l"]}


def main() -> None:
    """Do what the arguments say."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=("times", "rates"))
    parser.add_argument("--folders", type=Path, help="made evaluations are kept here")
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--write", action="store_true", help="the table into its page")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folders = options.folders or Path(place)
        if options.part == "times":
            about = table.conditions(["numpy"])
            print(about)
            found = f"{about}\n\n{table.rows(HEAD, times(folders))}"
            if options.write:
                table.replace("comparing", found)
            return
        lines = []
        of_sentences = rates_over_sentences(folders, options.trials)
        for line in chain(of_sentences, [""], rates_over_seeds(options.trials)):
            print(line, flush=True)
            lines.append(line)
    if options.write:
        table.replace("rates", "\n".join(lines), PAGE)


def times(folders: Path) -> list[tuple[str, str, str]]:
    """Print seconds and peak memory of a comparison of each set, and return them as rows."""
    found = []
    pairs = {
        "E2E, 5 metrics": e2e_folders(folders),
        "WebNLG, 3 metrics": webnlg_folders(folders),
        "DART, 3 metrics": dart_folders(folders),
    }
    for name, pair in pairs.items():
        seconds, peaks = zip(*(timed(pair) for _ in range(ROUNDS)), strict=True)
        time = f"{median(seconds):.1f} s ({min(seconds):.1f} … {max(seconds):.1f})"
        found.append((name, time, f"{max(peaks):.0f} MB"))
        print(*found[-1], flush=True)
    return found


def timed(folders: Sequence[Path]) -> tuple[float, float]:
    """Return seconds and peak megabytes of one comparison, output and start included."""
    with tempfile.TemporaryDirectory() as place:
        command = [sys.executable, "-m", "lora_lightning.compare", *map(str, folders)]
        started = time.perf_counter()
        process = subprocess.Popen(
            [*command, f"output={place}"], cwd=ROOT, stdout=subprocess.DEVNULL
        )
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit("compare failed")
    return time.perf_counter() - started, usage.ru_maxrss / 1024


def e2e_folders(folders: Path) -> list[Path]:
    """Return evaluations of two systems of the E2E challenge."""
    references = f"references={SCORES}/e2e/references_challenge.txt.gz"
    return [
        evaluated(folders / name, "e2e", SCORES / f"e2e/{name}.hypotheses.txt", references)
        for name in ("tgen", "chen")
    ]


def webnlg_folders(folders: Path) -> list[Path]:
    """Return evaluations of two systems of the WebNLG challenge."""
    files = ",".join(str(SCORES / f"webnlg/reference{i}.all.txt.gz") for i in range(6))
    return [
        evaluated(folders / name, "webnlg", SCORES / f"webnlg/{name}.all.hypotheses.txt.gz",
                  f"references=[{files}]")
        for name in ("melbourne", "adapt")
    ]  # fmt: skip


def dart_folders(folders: Path) -> list[Path]:
    """Return evaluations of a system on DART, and of a worse one made of it."""
    files = ",".join(str(SCORES / f"dart/reference{i}.txt.gz") for i in range(6))
    texts = read_hypotheses(SCORES / "dart/bart_large.hypotheses.txt.gz")
    cut = folders / "cut.txt"
    write_lines(cut, [t if n % 3 else t.rsplit(" ", 1)[0] for n, t in enumerate(texts)])
    named = {"bart": SCORES / "dart/bart_large.hypotheses.txt.gz", "bart_cut": cut}
    return [evaluated(folders / n, "dart", h, f"references=[{files}]") for n, h in named.items()]


def evaluated(folder: Path, protocol: str, hypotheses: Path, references: str) -> Path:
    """Return a folder of scores, made where it is not there."""
    if not (folder / "metrics.json").is_file():
        command = [sys.executable, str(ROOT / "evaluate.py"), f"protocol={protocol}"]
        arguments = [f"hypotheses={hypotheses}", references, f"output_dir={folder}"]
        subprocess.run([*command, *arguments], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    return folder


def rates_over_sentences(folders: Path, trials: int) -> Iterator[str]:
    """Yield a table of how often p < 0.05 for two systems that are one, sentence by sentence."""
    one, other = (
        {metric: np.array(rows) for metric, rows in read_statistics(folder).items()}
        for folder in e2e_folders(folders)
    )
    scores = CORPUS_SCORES["e2e"]
    metrics = {metric: scores[metric] for metric in one}
    generator = np.random.default_rng(0)
    below = {metric: np.zeros(2) for metric in metrics}
    for trial in range(trials):
        swap = generator.integers(0, 2, (len(one["bleu"]), 1), dtype=bool)
        a = {metric: np.where(swap, other[metric], one[metric]) for metric in metrics}
        b = {metric: np.where(swap, one[metric], other[metric]) for metric in metrics}
        found = compared({"a": [a], "b": [b]}, metrics, SAMPLES, trial)
        for metric, comparison in found.items():
            test = comparison.pairs[0].test
            below[metric] += np.array([test.p_bootstrap, test.p_randomisation]) < 0.05
    yield "| E2E, one run each | " + " | ".join(metrics) + " |"
    yield "|---" * (len(metrics) + 1) + "|"
    for row, name in enumerate(("bootstrap", "randomisation")):
        cells = [percent(below[metric][row] / trials) for metric in metrics]
        yield f"| {name} | " + " | ".join(cells) + " |"


# Standard deviations of what seeds do to all sentences of a run, and of what sentences do to the
# difference of the systems; that of seed and sentence together is 1.
EFFECTS = {
    "none": (0.0, 0.0),
    "seeds 0.1": (0.1, 0.0),
    "sentences 1": (0.0, 1.0),
    "seeds 0.1, sentences 1": (0.1, 1.0),
}


def rates_over_seeds(trials: int) -> Iterator[str]:
    """Yield a table of how often p < 0.05 for methods that do not differ, by number of seeds."""
    columns = "effects", "seeds", "bootstrap", "randomisation", "interval without 0", "plain nested"
    yield f"| {' | '.join(columns)} |"
    yield "|---|---|---|---|---|---|"
    for name, (by_seed, by_sentence) in EFFECTS.items():
        for seeds in (1, 3, 5, 10):
            generator = np.random.default_rng(seeds)
            below = np.zeros(4)
            for trial in range(trials):
                a, b = made_pair(seeds, by_seed, by_sentence, generator)
                test = compared({"a": a, "b": b}, MEAN, SAMPLES, trial)["score"].pairs[0].test
                low, high = test.interval
                p = plain_nested(a, b, generator)
                below += [
                    test.p_bootstrap < 0.05,
                    test.p_randomisation < 0.05,
                    low > 0 or high < 0,
                    p < 0.05,
                ]
            yield f"| {name} | {seeds} | " + " | ".join(percent(n / trials) for n in below) + " |"


def made_pair(
    seeds: int, by_seed: float, by_sentence: float, generator: np.random.Generator
) -> tuple[list[Statistics], list[Statistics]]:
    """Return the runs of two systems that do not differ in what is expected of them."""
    favour = generator.normal(0, by_sentence, SENTENCES)
    pair: list[list[Statistics]] = []
    for of_system in (np.zeros(SENTENCES), favour):
        scores = [
            of_system + generator.normal(0, by_seed) + generator.normal(0, 1, SENTENCES)
            for _ in range(seeds)
        ]
        pair.append([{"score": run[:, None]} for run in scores])
    return pair[0], pair[1]


def plain_nested(
    a: Sequence[Mapping[str, Array]],
    b: Sequence[Mapping[str, Array]],
    generator: np.random.Generator,
) -> float:
    """Return p by drawing runs with replacement, then sentences: what is not done, and why."""
    runs = [np.concatenate([run["score"] for run in of], axis=1) for of in (a, b)]
    counts = np.concatenate([*bootstrap_weights(SENTENCES, SAMPLES, generator)]) / SENTENCES
    means = []
    for of_system in runs:
        chosen = generator.integers(0, of_system.shape[1], (SAMPLES, of_system.shape[1]))
        means.append(np.take_along_axis(counts @ of_system, chosen, axis=1).mean(axis=1))
    difference = runs[1].mean() - runs[0].mean()
    deviations = means[1] - means[0] - (means[1] - means[0]).mean()
    return float((np.count_nonzero(np.abs(deviations) >= abs(difference)) + 1) / (SAMPLES + 1))


def percent(share: float) -> str:
    """Return a share in percent, one digit."""
    return f"{100 * share:.1f} %"


if __name__ == "__main__":
    main()
