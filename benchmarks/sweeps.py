"""What a sweep costs beyond its training: overhead a job, and jobs beside each other.

    python benchmarks/sweeps.py grid [--steps 100] [--threads 1] [--write]
    python benchmarks/sweeps.py overhead [--jobs 8] [--write]

grid: the same 8 jobs (rank × seed on the bundled sample), serially and with joblib n_jobs=2, in
turn, each process with `--threads` threads · overhead: from a job's start to its first update.
`--write` puts the table into benchmarks/README.md.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import table  # noqa: E402

Row = tuple[str, str]
SETTINGS = ("-m", "experiment=quickstart", "trainer=cpu", "logger=none")
GRID = ("method.rank=1,2,4,8", "seed=0,1")
ONE_UPDATE = ("trainer.max_steps=1", "trainer.log_every_n_steps=1", "trainer.limit_val_batches=0")
PARALLEL = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")


def sweep(folder: Path, threads: int, *overrides: str) -> float:
    """Run a sweep into `folder`, and return its wall-clock seconds."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "train.py"), *SETTINGS, *overrides]
    started = time.perf_counter()
    subprocess.run([*command, f"output_dir={folder}"], check=True, env=environment, cwd=ROOT,
                   stdout=subprocess.DEVNULL)  # fmt: skip
    return time.perf_counter() - started


def grid(steps: int, threads: int, rounds: int) -> list[Row]:
    """Return serial and parallel seconds, and the ratio of the rounds."""
    serially, beside = [], []
    for round_ in range(rounds):
        with tempfile.TemporaryDirectory() as place:
            length = f"trainer.max_steps={steps}"
            serially.append(sweep(Path(place) / "serial", threads, *GRID, length))
            beside.append(sweep(Path(place) / "beside", threads, *GRID, length, *PARALLEL))
        print(f"round {round_ + 1}: {serially[-1]:.1f} s, {beside[-1]:.1f} s", flush=True)
    ratios = [one / two for one, two in zip(serially, beside, strict=True)]
    return [
        (f"8 jobs of {steps} updates, one after another", f"{median(serially):.1f} s"),
        ("with joblib's two workers", f"{median(beside):.1f} s"),
        ("", f"{median(ratios):.2f} × ({min(ratios):.2f} … {max(ratios):.2f})"),
    ]


def overhead(jobs: int, threads: int) -> list[Row]:
    """Return seconds from a job's start to its first update: the first job, and those after it."""
    seeds = f"seed={','.join(map(str, range(jobs)))}"
    ways = {"serial": (), "joblib's two workers": PARALLEL}
    found = []
    for way, launcher in ways.items():
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "sweep"
            total = sweep(folder, threads, seeds, *ONE_UPDATE, *launcher)
            starts = [to_first_update(folder / str(job)) for job in range(jobs)]
        found += [
            (f"{way}: to the first update, first job", f"{starts[0]:.2f} s"),
            (f"{way}: to the first update, later jobs", f"{median(starts[1:]):.2f} s"),
            (f"{way}: a job of one update in all", f"{total / jobs:.2f} s"),
        ]
    return found


def to_first_update(job: Path) -> float:
    """Return the seconds from a job's start to its first row of metrics.csv."""
    begun = json.loads((job / "job.json").read_text())["started"]
    return (job / "metrics.csv").stat().st_mtime - datetime.fromisoformat(begun).timestamp()


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["grid", "overhead"])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=8)
    parser.add_argument("--write", action="store_true", help="into benchmarks/README.md")
    arguments = parser.parse_args()
    about = f"{table.conditions(['torch'])} {arguments.threads} threads a process."
    print(about)
    if arguments.what == "grid":
        found = grid(arguments.steps, arguments.threads, arguments.rounds)
    else:
        found = overhead(arguments.jobs, arguments.threads)
    text = f"{about}\n\n{table.rows((arguments.what, ''), found)}"
    print(text)
    if arguments.write:
        table.replace(f"sweeps {arguments.what}", text)


if __name__ == "__main__":
    main()
