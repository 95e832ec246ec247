"""Training steps of PEFT's methods: as train.py runs them, against PEFT's own forward.

    python benchmarks/methods.py [options of method= …] [--shape gpt2_small] [--rounds 5] [--write]

The same configuration, rows, optimizer and float32. PEFT runs in transformers' model, rows joined
by its padding-free collator, and padded. Contenders run in processes of their own and step in turn.
Needs the peers: pip install -e '.[bench]'. `--write` puts the table into benchmarks/README.md.
"""

import argparse
import re
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.table import conditions, replace, rows  # noqa: E402
from benchmarks.training import Worker  # noqa: E402
from benchmarks.training_rows import RowIds, e2e_rows  # noqa: E402
from lora_lightning.config.search_path import CONFIGS  # noqa: E402

ROWS = 8
HEAD = ("`method=`", "trained", "ours", "PEFT, padding-free", "PEFT, padded",
        "ours is, of the faster", "of the bound")  # fmt: skip
KINDS = ("ours", "peft flattened", "peft padded")


def main() -> None:
    """Measure the options asked for, and print their table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("options", nargs="*", default=["lora", *shipped()])
    parser.add_argument("--shape", default="gpt2_small")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="into benchmarks/README.md")
    arguments = parser.parse_args()
    arguments.dtype = "float32"
    given = e2e_rows(ROWS, None, None)
    about = (
        f"{conditions(['torch', 'transformers', 'peft'])} {arguments.shape}, float32, {ROWS} rows "
        f"of E2E a step, {arguments.rounds} rounds."
    )
    print(about)
    print(rows(HEAD, []))
    measured = []
    bound = least_seconds(given, arguments)
    for option in arguments.options:
        measured.append(cells(option, given, bound, arguments))
        print(rows(measured[-1], []).splitlines()[0], flush=True)
    if arguments.write:
        replace("methods", f"{about}\n\n{rows(HEAD, measured)}")


def shipped() -> list[str]:
    """Return the options of PEFT's tuners."""
    files = sorted((CONFIGS / "method").glob("*.yaml"))
    return [file.stem for file in files if re.search(r"^  - peft$", file.read_text(), re.M)]


def least_seconds(given: list[RowIds], arguments: argparse.Namespace) -> float:
    """Return the seconds that the base's matrix products of a step take alone: the bound."""
    tokens = sum(len(context) + len(completion) - 1 for context, completion in given)
    labels = sum(len(completion) for _, completion in given)
    with Worker("lora: ours", arguments, arguments.dtype) as worker:
        answers = [worker.ask(products=[tokens, labels]) for _ in range(2)]
    return min(float(answer["seconds"]) for answer in answers)


def cells(
    option: str, given: list[RowIds], bound: float, arguments: argparse.Namespace
) -> list[str]:
    """Let the contenders of one option step in turn, and return their row of the table."""
    workers = [Worker(f"{option}: {kind}", arguments, arguments.dtype) for kind in KINDS]
    for worker in workers:
        worker.ask(rows=given)
        worker.ask(steps=1)
    trained = {worker.ask(trained=True)["trained"] for worker in workers}
    assert len(trained) == 1, f"{option}: the contenders train {trained} parameters"
    seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for _ in range(arguments.rounds):
        for kind, worker in zip(KINDS, workers, strict=True):
            seconds[kind] += worker.ask(steps=1)["seconds"]
    for worker in workers:
        worker.__exit__()
    ours, *peers = (seconds[kind] for kind in KINDS)
    fastest = min(peers, key=statistics.median)
    ratios = [peer / own for peer, own in zip(fastest, ours, strict=True)]
    return [
        f"`{option}`",
        f"{trained.pop():,}",
        *(f"{1e3 * statistics.median(seconds[kind]):,.0f} ms" for kind in KINDS),
        f"{statistics.median(ratios):.2f} × ({min(ratios):.2f} … {max(ratios):.2f})",
        f"{bound / statistics.median(ours):.2f}",
    ]


if __name__ == "__main__":
    main()
