"""What pruning saves, and whether it finds the best job: 32 jobs on the bundled sample.

    python benchmarks/pruning.py [--steps 32] [--orders 5] [--threads 1] [--write]

The same grid, rank × learning rate × seed: to the end, then with successive halving, in the grid's
own order and in random ones. Asked of each random order: at most 35 % of the updates, and the
grid's best job, or one worse by no more than seeds differ. `--write` puts the table into
benchmarks/README.md.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import mean, variance
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.table import conditions, replace, rows  # noqa: E402

AXES = ("method.rank=1,2,4,8", "optimizer.lr=1e-4,1e-3,3e-3,1e-2", "seed=0,1")
LOOKS = 16  # validations in a job
MOST = 0.35  # of the updates
HEAD = ("order of the jobs", "updates", "of the grid's", "jobs to their end", "best of them",
        "`val/loss`", "worse by")  # fmt: skip
Jobs = list[dict[str, Any]]


def sweep(folder: Path, steps: int, threads: int, *overrides: str) -> Jobs:
    """Run the grid into `folder`, and return its jobs as `sweep show --json` has them."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT)}
    settings = (
        "-m", "trainer=cpu", "logger=none", *AXES, f"trainer.max_steps={steps}",
        f"trainer.val_check_interval={max(1, steps // LOOKS)}", "trainer.limit_val_batches=8",
    )  # fmt: skip
    command = [sys.executable, str(ROOT / "train.py"), *settings, *overrides]
    subprocess.run([*command, f"output_dir={folder}"], check=True, env=environment, cwd=ROOT,
                   stdout=subprocess.DEVNULL)  # fmt: skip
    show = [sys.executable, "-m", "lora_lightning.sweep", "show", str(folder), "--json"]
    shown = subprocess.run(show, check=True, env=environment, cwd=ROOT, capture_output=True)
    jobs: Jobs = json.loads(shown.stdout)["jobs"]
    return jobs


def pruned_in_order(order: int | None, steps: int) -> list[str]:
    """Return the overrides that prune, in a random order of this seed or in the grid's own."""
    pruner = ["pruner=successive_halving", f"pruner.min_resource={max(1, steps // LOOKS)}"]
    if order is None:
        return pruner
    sampler = "hydra.sweeper.sampler._target_=optuna.samplers.GridSampler"
    return [*pruner, sampler, f"hydra.sweeper.sampler.seed={order}"]


def updates_of(job: dict[str, Any]) -> int:
    """Return the updates that a job did."""
    return int(json.loads((Path(job["folder"]) / "run.json").read_text())["updates"])


def best_of(jobs: Jobs) -> dict[str, Any]:
    """Return the job with the least loss, of those that came to their end."""
    return min((j for j in jobs if j["objective"] is not None), key=lambda j: j["objective"])


def noise_of(jobs: Jobs) -> float:
    """Return the standard deviation of the loss over seeds, pooled over all settings."""
    groups: dict[tuple[str, str], list[float]] = {}
    for job in jobs:
        setting = (job["method.rank"], job["optimizer.lr"])
        groups.setdefault(setting, []).append(job["objective"])
    return float(mean(map(variance, groups.values())) ** 0.5)


def main() -> None:
    """Run all, and print what they did; exit code 1 where a random order falls short."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=32)
    parser.add_argument("--orders", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="into benchmarks/README.md")
    given = parser.parse_args()
    orders = {"the grid's own, none pruned": []}
    orders["the grid's own"] = pruned_in_order(None, given.steps)
    orders |= {f"random, seed {n}": pruned_in_order(n, given.steps) for n in range(given.orders)}
    lines, falls_short = [], False
    print(about := conditions(["torch", "optuna"]))
    print(rows(HEAD, []))
    for name, overrides in orders.items():
        with tempfile.TemporaryDirectory() as place:
            jobs = sweep(Path(place) / "sweep", given.steps, given.threads, *overrides)
            updates = sum(map(updates_of, jobs))
        best, ended = best_of(jobs), sum(job["status"] == "finished" for job in jobs)
        if not lines:
            whole, least, noise = updates, best["objective"], noise_of(jobs)
        share, worse = updates / whole, best["objective"] - least
        falls_short |= name.startswith("random") and (share > MOST or worse > noise)
        setting = f"rank {best['method.rank']}, rate {best['optimizer.lr']}, seed {best['seed']}"
        lines.append([name, f"{updates:,}", f"{share:.1%}", f"{ended} of {len(jobs)}", setting,
                      f"{best['objective']:.4f}", f"{worse:.4f}"])  # fmt: skip
        print(rows(lines[-1], []).splitlines()[0], flush=True)
    asked = f"Seeds differ by {noise:.4f}. Asked: at most {MOST:.0%}, worse by no more than seeds."
    print(asked)
    if given.write:
        about += f" {given.steps} updates a job."
        replace("pruning", f"{about}\n\n{rows(HEAD, lines)}\n\n{asked}")
    sys.exit(falls_short)


if __name__ == "__main__":
    main()
