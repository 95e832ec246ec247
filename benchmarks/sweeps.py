"""What a sweep costs beyond its training: overhead a job, and jobs beside each other.

    python benchmarks/sweeps.py grid [--steps 100] [--threads 1]
    python benchmarks/sweeps.py overhead [--jobs 8]

grid: the same 8 jobs (rank × seed on the bundled sample), serially and with joblib n_jobs=2, in
turn, each process with `--threads` threads · overhead: from a job's start to its first update.
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


def grid(steps: int, threads: int, rounds: int) -> None:
    """Print serial and parallel seconds, and the ratio of each round."""
    ratios = []
    for round_ in range(rounds):
        with tempfile.TemporaryDirectory() as place:
            length = f"trainer.max_steps={steps}"
            serial = sweep(Path(place) / "serial", threads, *GRID, length)
            beside = sweep(Path(place) / "beside", threads, *GRID, length, *PARALLEL)
        ratios.append(serial / beside)
        print(f"round {round_ + 1}: serial {serial:.1f} s, joblib n_jobs=2 {beside:.1f} s, "
              f"{ratios[-1]:.2f} times as fast")  # fmt: skip
    print(f"median {median(ratios):.2f}, from {min(ratios):.2f} to {max(ratios):.2f}")


def overhead(jobs: int, threads: int) -> None:
    """Print seconds from a job's start to its first update: the first job, and those after it."""
    seeds = f"seed={','.join(map(str, range(jobs)))}"
    ways = {"serial": (), "joblib n_jobs=2": PARALLEL}
    for way, launcher in ways.items():
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "sweep"
            total = sweep(folder, threads, seeds, *ONE_UPDATE, *launcher)
            starts = [to_first_update(folder / str(job)) for job in range(jobs)]
        print(f"{way}: first job {starts[0]:.2f} s, then median {median(starts[1:]):.2f} s; "
              f"whole sweep {total / jobs:.2f} s a job")  # fmt: skip


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
    arguments = parser.parse_args()
    if arguments.what == "grid":
        grid(arguments.steps, arguments.threads, arguments.rounds)
    else:
        overhead(arguments.jobs, arguments.threads)


if __name__ == "__main__":
    main()
