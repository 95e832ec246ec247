"""What pruning saves, and whether it finds the best job: 32 jobs on the bundled sample.

    python benchmarks/pruning.py [--steps 64] [--threads 1]

The same grid, rank × learning rate × seed, to the end and with successive halving. Asked for: at
most 35 % of the updates, and the grid's best job, or one worse by no more than seeds differ.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import mean, variance

ROOT = Path(__file__).parents[1]
AXES = ("method.rank=1,2,4,8", "optimizer.lr=1e-4,1e-3,3e-3,1e-2", "seed=0,1")
MOST = 0.35  # of the updates


def sweep(folder: Path, steps: int, threads: int, *overrides: str) -> list[dict]:
    """Run the grid into `folder`, and return its jobs as `sweep show --json` has them."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT)}
    every = max(1, steps // 16)
    settings = (
        "-m", "trainer=cpu", "logger=none", *AXES, f"trainer.max_steps={steps}",
        f"trainer.val_check_interval={every}", "trainer.limit_val_batches=8",
    )  # fmt: skip
    command = [sys.executable, str(ROOT / "train.py"), *settings, *overrides]
    subprocess.run([*command, f"output_dir={folder}"], check=True, env=environment, cwd=ROOT,
                   stdout=subprocess.DEVNULL)  # fmt: skip
    show = [sys.executable, "-m", "lora_lightning.sweep", "show", str(folder), "--json"]
    shown = subprocess.run(show, check=True, env=environment, cwd=ROOT, capture_output=True)
    return json.loads(shown.stdout)["jobs"]


def updates_of(job: dict) -> int:
    """Return the updates that a job did."""
    return json.loads((Path(job["folder"]) / "run.json").read_text())["updates"]


def best_of(jobs: list[dict]) -> dict:
    """Return the job with the least loss, of those that came to their end."""
    return min((j for j in jobs if j["objective"] is not None), key=lambda j: j["objective"])


def noise_of(jobs: list[dict]) -> float:
    """Return the standard deviation of the loss over seeds, pooled over all settings."""
    groups: dict[tuple[str, str], list[float]] = {}
    for job in jobs:
        setting = (job["method.rank"], job["optimizer.lr"])
        groups.setdefault(setting, []).append(job["objective"])
    return mean(map(variance, groups.values())) ** 0.5


def main() -> None:
    """Run both, and print what they did; exit code 1 where pruning falls short."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    pruner = ("pruner=successive_halving", f"pruner.min_resource={max(1, given.steps // 16)}")
    with tempfile.TemporaryDirectory() as place:
        whole = sweep(Path(place) / "whole", given.steps, given.threads)
        pruned = sweep(Path(place) / "pruned", given.steps, given.threads, *pruner)
        updates = [sum(map(updates_of, jobs)) for jobs in (whole, pruned)]
    share, noise = updates[1] / updates[0], noise_of(whole)
    for name, jobs, done in zip(("whole grid", "pruned"), (whole, pruned), updates, strict=True):
        best = best_of(jobs)
        ended = sum(job["status"] == "finished" for job in jobs)
        print(f"{name:<12}{done:>6} updates, {ended:>2} of {len(jobs)} jobs to their end; best "
              f"val/loss {best['objective']:.4f}: job {best['job']}, rank {best['method.rank']}, "
              f"rate {best['optimizer.lr']}, seed {best['seed']}")  # fmt: skip
    worse = best_of(pruned)["objective"] - best_of(whole)["objective"]
    print(f"share of the updates {share:.1%} (at most {MOST:.0%}); worse by {worse:.4f}, seeds "
          f"differ by {noise:.4f}")  # fmt: skip
    sys.exit(share > MOST or worse > noise)


if __name__ == "__main__":
    main()
