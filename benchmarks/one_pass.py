"""Many adapters in one pass over one base, against the same jobs by themselves.

    python benchmarks/one_pass.py [jobs] [growth] [decoding] [gpu]
        [--jobs 16] [--updates 25] [--rounds 3] [--contexts 16] [--shape gpt2_small] [--write]

jobs: one pass of 4 ranks × 4 rates on GPT-2 small's shape, 8 rows each, in turn with as many
`python train.py` processes (target: at most 0.85 of their summed wall time) and with one `-m`
process (target: at most 1.02 of the summed time of its updates); peak memory (target: base and, for
each job, adapter, optimizer and activations) · growth: time per job from 2 to 32 jobs (target:
within 10 %) · decoding: the contexts of all adapters in one pass against generate.py -m in turn ·
gpu: 16 jobs against one on a GPU (target: at most 2.5 times its time). Default: all but gpu.
`--write` puts the table into benchmarks/README.md.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import one_pass_decoding, table  # noqa: E402
from benchmarks.training_report import spread  # noqa: E402
from benchmarks.training_rows import e2e_rows  # noqa: E402

Row = tuple[str, str, str]
HEAD = ("", "measured", "target")

RANKS, RATES = (1, 2, 4, 8), (1e-4, 2e-4, 5e-4, 1e-3)
ROWS = 8
IDS = 1000  # that the bundled tokenizer has, of the base's 50257
TOKENIZER = ROOT / "data" / "sample" / "gpt2_tiny"
ONE_PASS = "hydra/launcher=one_pass"
SEPARATE_TARGET, STEPS_TARGET, GROWTH_TARGET, GPU_TARGET = 0.85, 1.02, 0.10, 2.5
JOBS_OF_GROWTH = (2, 4, 8, 16, 32)
UPDATES_OF_GROWTH = 8  # of which the first five are not counted


class Bench:
    """Runs trainings on a base of random weights.

    Args:
        place: a folder for everything.
        options: of the command line.
        trainer: option of that group.
    """

    def __init__(self, place: Path, options: argparse.Namespace, trainer: str = "cpu") -> None:
        self.place = place
        self.runs = 0
        rows = place / "rows.jsonl"
        with rows.open("w") as file:
            for context, completion in e2e_rows(ROWS * options.updates, None, None):
                known = ([id % IDS for id in ids] for ids in (context, completion))
                file.write(
                    json.dumps(dict(zip(("context", "completion"), known, strict=False))) + "\n"
                )
        write_base(place / "base", options.shape)
        self.settings = (
            f"trainer={trainer}", f"model.path={place}/base", f"model.tokenizer={TOKENIZER}",
            "data=jsonl", f"data.train={rows}", f"data.valid={rows}", f"data.batch_size={ROWS}",
            "trainer.limit_val_batches=0", f"trainer.max_steps={options.updates}", "logger=none",
            "trainer.log_every_n_steps=5", f"paths.cache_dir={place}/cache",
        )  # fmt: skip

    def run(self, *arguments: str) -> tuple[Path, float, float]:
        """Run train.py; return the run's folder, its wall seconds and its peak memory in MB."""
        return self.command("train.py", *arguments, *self.settings)

    def command(self, script: str, *arguments: str) -> tuple[Path, float, float]:
        """Run a command; return as `run`."""
        folder = self.place / f"run_{self.runs}"
        self.runs += 1
        command = [sys.executable, script, *arguments, f"output_dir={folder}"]
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            sys.exit(f"{script} failed")
        return folder, time.perf_counter() - started, usage.ru_maxrss / 1024


def write_base(folder: Path, shape: str) -> None:
    """Write a base of a known shape with random weights."""
    import torch

    from benchmarks.training_contenders import random_base

    random_base(shape, torch.float32).save_pretrained(folder)


def grid(jobs: int) -> list[tuple[str, str]]:
    """Return the overrides of each job: ranks × rates, and seeds where there are more."""
    each = [(f"method.rank={rank}", f"optimizer.lr={lr}") for rank in RANKS for lr in RATES]
    return [
        (rank, f"{lr} seed={n // len(each)}") for n in range(jobs) for rank, lr in [each[n % 16]]
    ]


def sweep_of(jobs: int) -> list[str]:
    """Return arguments of a sweep of so many jobs, a multiple of 4 or a power of 2 below."""
    ranks = RANKS[: min(4, jobs)]
    rates = RATES[: max(1, min(4, jobs // 4))]
    seeds = range(max(1, jobs // 16))
    return [
        "-m",
        f"method.rank={','.join(map(str, ranks))}",
        f"optimizer.lr={','.join(map(str, rates))}",
        f"seed={','.join(map(str, seeds))}",
    ]


def seconds_of_update(job: Path) -> float:
    """Return the median seconds of a job's updates, with the others' of the same pass."""
    throughput = json.loads((job / "run.json").read_text())["throughput"]
    return float(ROWS / throughput["rows_per_second"])


def jobs(bench: Bench, options: argparse.Namespace) -> list[Row]:
    """One pass against as many processes, and against one process that trains the jobs in turn."""
    of_processes, of_updates = [], []
    each = sorted({tuple(job) for job in grid(options.jobs)})
    for _ in range(options.rounds):
        together, seconds, memory = bench.run(*sweep_of(options.jobs), ONE_PASS)
        alone = [bench.run(*" ".join(job).split())[1:] for job in each]
        in_turn, *_ = bench.run(*sweep_of(options.jobs))
        processes = sum(one for one, _ in alone)
        of_processes.append(seconds / processes)
        of_pass = statistics.median(map(seconds_of_update, jobs_of(together)))
        of_jobs = sum(map(seconds_of_update, jobs_of(in_turn)))
        of_updates.append(of_pass / of_jobs)
        print(f"  one pass {seconds:.1f} s, processes {processes:.1f} s; an update of all "
              f"{of_pass:.3f} s, in turn {of_jobs:.3f} s", flush=True)  # fmt: skip
    bound = max(peak for _, peak in alone) + (len(each) - 1) * own_megabytes(options)
    what = f"{len(each)} jobs of {options.updates} updates: "
    return [
        (
            what + "wall time, to as many processes",
            spread(of_processes),
            f"at most {SEPARATE_TARGET}",
        ),
        (what + "an update of each, to it in turn", spread(of_updates), f"at most {STEPS_TARGET}"),
        (what + "peak memory", f"{memory:,.0f} MB", f"at most {bound:,.0f} MB"),
    ]


def jobs_of(sweep: Path) -> list[Path]:
    """Return the folders of a sweep's jobs."""
    return [path for path in sweep.iterdir() if path.name.isdigit()]


def own_megabytes(options: argparse.Namespace) -> float:
    """Return what a job needs beside the base: adapter, optimizer, activations."""
    import torch

    from benchmarks.training_contenders import random_base
    from lora_lightning.gpt2.forward import EAGER
    from lora_lightning.methods.lora_method import LoRA
    from lora_lightning.training.memory import estimate_memory

    with torch.device("meta"):
        model = random_base(options.shape, torch.float32)
        LoRA(max(RANKS), 32, 0.1, ["q", "v"]).apply(model)
    longest = sorted(len(c) + len(t) for c, t in e2e_rows(ROWS * options.updates, None, None))
    of_job = estimate_memory(model, longest[-ROWS:], EAGER, torch.device("cpu"))
    return (of_job.training + of_job.activations) / 1e6


def growth(bench: Bench, options: argparse.Namespace) -> list[Row]:
    """Time per job of passes of more and more jobs."""
    each: dict[int, list[float]] = {number: [] for number in JOBS_OF_GROWTH}
    few = f"trainer.max_steps={min(UPDATES_OF_GROWTH, options.updates)}"
    for _ in range(options.rounds):
        for number, seconds in each.items():
            given = (
                *sweep_of(number),
                ONE_PASS,
                *bench.settings,
                few,
                "trainer.log_every_n_steps=1",
            )
            folder, *_ = bench.command("train.py", *given)
            update = statistics.median(map(seconds_of_update, jobs_of(folder)))
            seconds.append(update / number)
            print(f"  {number:>2} jobs: {seconds[-1]:.4f} s for an update of each", flush=True)
    medians = [statistics.median(seconds) for seconds in each.values()]
    middle = statistics.mean((min(medians), max(medians)))
    over = max(medians) / middle - 1
    found = [(f"{number} jobs: an update of one", f"{1000 * median:.0f} ms", "")
             for number, median in zip(each, medians, strict=True)]  # fmt: skip
    return [*found, ("spread over the number of jobs", f"± {over:.0%}", f"± {GROWTH_TARGET:.0%}")]


def decoding(bench: Bench, options: argparse.Namespace) -> list[Row]:
    """One pass over the contexts of all adapters against one adapter after another."""
    once = (*bench.settings, "trainer.max_steps=1")
    trained, *_ = bench.command("train.py", *sweep_of(options.jobs), ONE_PASS, *once)
    runs = sorted(jobs_of(trained), key=lambda path: int(path.name))
    rows = bench.place / "rows.jsonl"
    return one_pass_decoding.measure(
        lambda *given: bench.command("generate.py", *given),
        runs, rows, options.contexts, options.rounds,
    )  # fmt: skip


def gpu(bench: Bench, options: argparse.Namespace) -> list[Row]:
    """An update of 16 jobs against one of one job, on a GPU."""
    together, *_ = bench.run(*sweep_of(16), ONE_PASS)
    alone, *_ = bench.run("method.rank=8")
    of_pass = statistics.median(map(seconds_of_update, jobs_of(together)))
    ratio = of_pass / seconds_of_update(alone)
    what = f"an update of 16 jobs, {1000 * of_pass:.1f} ms, to one job's"
    return [(what, f"{ratio:.2f}", f"at most {GPU_TARGET}")]


PARTS = {"jobs": jobs, "growth": growth, "decoding": decoding, "gpu": gpu}


def main() -> None:
    """Measure the parts asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", default=[*PARTS][:-1], metavar="part")
    parser.add_argument("--jobs", type=int, default=16)
    parser.add_argument("--updates", type=int, default=25)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--contexts", type=int, default=16)
    parser.add_argument("--shape", default="gpt2_small")
    parser.add_argument("--write", action="store_true", help="into benchmarks/README.md")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    about = f"{table.conditions(['torch'])} {options.shape}, {options.rounds} rounds."
    print(about)
    found: dict[str, list[Row]] = {}
    with tempfile.TemporaryDirectory() as place:
        for part in options.parts:
            bench = Bench(Path(place), options, "gpu" if part == "gpu" else "cpu")
            found[f"one pass {part}"] = PARTS[part](bench, options)
            for row in found[f"one pass {part}"]:
                print(" | ".join(row), flush=True)
    if options.write:
        for name, rows in found.items():
            table.replace(name, f"{about}\n\n{table.rows(HEAD, rows)}")


if __name__ == "__main__":
    main()
