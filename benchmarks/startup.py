"""What a training job costs before it trains: alone, and as a later job of a sweep.

    python benchmarks/startup.py [--data-dir <E2E's raw files> --tokenizer <GPT-2's folder>]
        [--shape tiny|gpt2_small|gpt2_medium] [--rounds 3]

Prints the seconds from the command to the end of the first step, and from the end of one job of an
in-process `-m` sweep to the first step of the next, each without the cache of encoded data, when
it is made, and with it. Without the folders it takes the bundled sample. The base has random
weights.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.table import conditions  # noqa: E402

STEP = ("trainer=cpu", "trainer.max_steps=1", "trainer.limit_val_batches=0")
SHAPES = {"tiny": (4, 128, 4), "gpt2_small": (12, 768, 12), "gpt2_medium": (24, 1024, 16)}
JOBS = 4


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--tokenizer", type=Path)
    parser.add_argument("--shape", choices=SHAPES, default="tiny")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    about = conditions(["torch", "transformers"])
    print(f"{about} {arguments.data_dir or 'bundled sample'}, {arguments.shape}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        overrides = [*STEP, *job_overrides(arguments, folder)]
        measure(overrides, folder, arguments.rounds)


def job_overrides(arguments: argparse.Namespace, folder: Path) -> list[str]:
    """Return data and base of every job."""
    if arguments.data_dir is None or arguments.tokenizer is None:
        return []
    base = write_random_base(folder / "base", arguments.shape)
    return ["data=e2e", f"data.dir={arguments.data_dir}", f"model.path={base}",
            f"model.tokenizer={arguments.tokenizer}"]  # fmt: skip


def write_random_base(folder: Path, shape: str) -> Path:
    """Write a GPT-2 with random weights and GPT-2's vocabulary."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    layers, width, heads = SHAPES[shape]
    GPT2LMHeadModel(GPT2Config(n_layer=layers, n_embd=width, n_head=heads)).save_pretrained(folder)
    return folder


def measure(overrides: list[str], folder: Path, rounds: int) -> None:
    """Run jobs and sweeps in turn without, making, and with the cache."""
    cache = folder / "cache"
    names = {"no cache": "null", "cache is made": str(cache), "cache is there": str(cache)}
    alone: dict[str, list[float]] = {name: [] for name in names}
    later: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        for name, place in names.items():
            if name == "cache is made":
                shutil.rmtree(cache, ignore_errors=True)
            run = folder / f"{number} {name}"
            own = [*overrides, f"data.cache_dir={place}"]
            alone[name].append(first_step([*own, f"output_dir='{run}'"], run))
            if name != "cache is made":
                later[name] += later_first_steps(own, run.with_name(f"{run.name} sweep"))
    print("\nfrom the command to the end of the first step")
    report(alone)
    print(f"\nfrom the end of a job to the first step of the next, {JOBS} jobs in one process")
    report({name: seconds for name, seconds in later.items() if seconds})


def report(measured: dict[str, list[float]]) -> None:
    """Print a line for each way."""
    for name, seconds in measured.items():
        spread = f"{min(seconds):.2f} to {max(seconds):.2f}"
        print(f"  {name:<16}{statistics.median(seconds):>7.2f} s  ({spread})", flush=True)


def first_step(overrides: list[str], run: Path) -> float:
    """Run a job of one step, and return the seconds until metrics.csv had its row."""
    start = time.time()
    train(overrides)
    return (run / "metrics.csv").stat().st_mtime - start


def later_first_steps(overrides: list[str], sweep: Path) -> list[float]:
    """Run a sweep in one process, and return what each job but the first took to its first step."""
    seeds = ",".join(map(str, range(JOBS)))
    train(["-m", *overrides, f"seed={seeds}", f"output_dir='{sweep}'"])
    return [
        (sweep / str(job) / "metrics.csv").stat().st_mtime
        - (sweep / str(job - 1) / "result.json").stat().st_mtime
        for job in range(1, JOBS)
    ]


def train(arguments: list[str]) -> None:
    """Run train.py."""
    result = subprocess.run(
        [sys.executable, "train.py", *arguments], cwd=ROOT, capture_output=True, text=True
    )
    if result.returncode:
        sys.exit(f"train.py ended with {result.returncode}:\n{result.stdout}{result.stderr}")


if __name__ == "__main__":
    main()
