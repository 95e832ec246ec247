"""What a command costs before it works, against its targets, and a job as a later one of a sweep.

    python -m benchmarks.startup [--data-dir <E2E's raw files> --tokenizer <GPT-2's folder>]
        [--shape tiny|gpt2_small|gpt2_medium] [--rounds 3] [--write]

The first table has the seconds by the clock and on the processor of what a user waits for: help,
the first step of a training with the bundled model, one text decoded from a cold start. The second:
from the command to the end of the first step, and from the end of one job of an in-process `-m`
sweep to the first step of the next, each without the cache of encoded data, when it is made, and
with it. Without the folders it takes the bundled sample; the base of a shape has random weights.
--write puts both into benchmarks/README.md.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.table import conditions, replace, rows  # noqa: E402

STEP = ("trainer=cpu", "trainer.max_steps=1", "trainer.limit_val_batches=0")
TEXT = "text=name : Blue Spice | Type : coffee shop"
SHAPES = {"tiny": (4, 128, 4), "gpt2_small": (12, 768, 12), "gpt2_medium": (24, 1024, 16)}
JOBS = 4
TARGETS = {"train.py --help": 0.3, "train.py, to the first step": 3.0, "generate.py text=…": 4.0}


class Took(NamedTuple):
    """What a process took: seconds by the clock, and of it and its children on the processor."""

    wall: float
    processor: float


def main() -> None:
    """Measure, and print or write both tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--tokenizer", type=Path)
    parser.add_argument("--shape", choices=SHAPES, default="tiny")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    head = conditions(["torch", "lightning", "transformers", "hydra-core"])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        waits = measure_waits(folder, arguments.rounds)
        overrides = [*STEP, *job_overrides(arguments, folder)]
        steps = measure_steps(overrides, folder, arguments.rounds)
    what = f"{arguments.data_dir or 'Bundled sample'}, {arguments.shape} base"
    page = "\n\n".join([head, waits, f"{what}:", steps])
    print(page)
    if arguments.write:
        replace("startup", page)


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


def measure_waits(folder: Path, rounds: int) -> str:
    """Return the table of what a user waits for, beside its targets.

    The clock stops at the first step where there is one; the processor counts the whole process.
    """
    place = folder / "waits"
    run("train.py", *STEP, f"output_dir='{place}'")
    took: dict[str, list[Took]] = {name: [] for name in TARGETS}
    for _ in range(rounds):
        helped, decoded = run("train.py", "--help"), run("generate.py", f"run='{place}'", TEXT)
        began = time.time()
        trained = run("train.py", *STEP, f"output_dir='{place}'", "overwrite=true")
        stepped = (place / "metrics.csv").stat().st_mtime - began
        measured = (helped, Took(stepped, trained.processor), decoded)
        for of_one, one in zip(took.values(), measured, strict=True):
            of_one.append(one)
    lines = []
    for name, target in TARGETS.items():
        wall = statistics.median(one.wall for one in took[name])
        clock, processor = ([one[i] for one in took[name]] for i in (0, 1))
        lines.append(
            [f"`{name}`", spread(clock), f"≤ {target} s", f"{wall / target:.2f}", spread(processor)]
        )
    return rows(["what", "clock", "target", "of it", "processor, whole process"], lines)


def measure_steps(overrides: list[str], folder: Path, rounds: int) -> str:
    """Return the table of jobs and sweeps, in turn without, making, and with the cache."""
    cache = folder / "cache"
    names = {"no cache": "null", "cache is made": str(cache), "cache is there": str(cache)}
    alone: dict[str, list[float]] = {name: [] for name in names}
    later: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        for name, place in names.items():
            if name == "cache is made":
                shutil.rmtree(cache, ignore_errors=True)
            job = folder / f"{number} {name}"
            own = [*overrides, f"data.cache_dir={place}"]
            alone[name].append(first_step([*own, f"output_dir='{job}'"], job))
            if name != "cache is made":
                later[name] += later_first_steps(own, job.with_name(f"{job.name} sweep"))
    lines = [[name, spread(alone[name]), spread(later[name])] for name in names]
    return rows(["to the end of the first step", "from the command", "from the job before"], lines)


def spread(values: list[float]) -> str:
    """Return the median with the least and the largest; nothing where nothing was measured."""
    if not values:
        return ""
    return f"{statistics.median(values):.2f} s ({min(values):.2f} … {max(values):.2f})"


def first_step(overrides: list[str], job: Path) -> float:
    """Run a job of one step, and return the seconds until metrics.csv had its row."""
    began = time.time()
    run("train.py", *overrides)
    return (job / "metrics.csv").stat().st_mtime - began


def later_first_steps(overrides: list[str], sweep: Path) -> list[float]:
    """Run a sweep in one process, and return what each job but the first took to its first step."""
    seeds = ",".join(map(str, range(JOBS)))
    run("train.py", "-m", *overrides, f"seed={seeds}", f"output_dir='{sweep}'")
    return [
        (sweep / str(job) / "metrics.csv").stat().st_mtime
        - (sweep / str(job - 1) / "result.json").stat().st_mtime
        for job in range(1, JOBS)
    ]


def run(*command: str) -> Took:
    """Run a command of this repository to its end, which must be a good one."""
    with tempfile.TemporaryFile() as output:
        began = time.perf_counter()
        process = subprocess.Popen([sys.executable, *command], cwd=ROOT, stdout=output,
                                   stderr=output)  # fmt: skip
        _, status, usage = os.wait4(process.pid, 0)
        took = Took(time.perf_counter() - began, usage.ru_utime + usage.ru_stime)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            said = output.read().decode(errors="replace")
            sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{said}")
    return took


if __name__ == "__main__":
    main()
