"""Many adapters in one pass over one base, against the same jobs by themselves.

    python benchmarks/one_pass.py [separate] [steps] [memory] [growth] [decoding] [gpu]
        [--jobs 16] [--updates 25] [--rounds 3] [--contexts 16] [--shape gpt2_small]

separate: one pass of 4 ranks × 4 rates on GPT-2 small's shape, 8 rows each, in turn with as many
`python train.py` processes (target: at most 0.85 of their summed wall time) · steps: the same
against one `-m` process (target: at most 1.02 of the summed time of its updates) · memory: peak of
both (target: base and, for each job, adapter, optimizer and activations) · growth: time per job
from 2 to 32 jobs (target: within 10 %) · decoding: the contexts of all adapters in one pass
against generate.py -m in turn · gpu: 16 jobs against one on a GPU (target: at most 2.5
times its time). Default: all but gpu.
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

from benchmarks import one_pass_decoding  # noqa: E402
from benchmarks.table import conditions  # noqa: E402
from benchmarks.training_rows import e2e_rows  # noqa: E402

RANKS, RATES = (1, 2, 4, 8), (1e-4, 2e-4, 5e-4, 1e-3)
ROWS = 8
IDS = 1000  # that the bundled tokenizer has, of the base's 50257
TOKENIZER = ROOT / "data" / "sample" / "gpt2_tiny"
ONE_PASS = "hydra/launcher=one_pass"
SEPARATE_TARGET, STEPS_TARGET, GROWTH_TARGET, GPU_TARGET = 0.85, 1.02, 0.10, 2.5
JOBS_OF_GROWTH = (2, 4, 8, 16, 32)


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


def separate(bench: Bench, options: argparse.Namespace) -> None:
    """One pass against as many processes."""
    ratios = []
    for _ in range(options.rounds):
        _, together, _ = bench.run(*sweep_of(options.jobs), ONE_PASS)
        alone = 0.0
        for job in sorted({tuple(job) for job in grid(options.jobs)}):
            alone += bench.run(*" ".join(job).split())[1]
        ratios.append(together / alone)
        print(f"  one pass {together:.1f} s, {options.jobs} processes {alone:.1f} s, "
              f"{ratios[-1]:.3f}", flush=True)  # fmt: skip
    print(f"separate: {statistics.median(ratios):.3f} (target: at most {SEPARATE_TARGET})")


def steps(bench: Bench, options: argparse.Namespace) -> None:
    """One pass against one process that trains the jobs in turn."""
    ratios = []
    for _ in range(options.rounds):
        together, *_ = bench.run(*sweep_of(options.jobs), ONE_PASS)
        in_turn, *_ = bench.run(*sweep_of(options.jobs))
        of_pass = statistics.median(map(seconds_of_update, jobs_of(together)))
        of_jobs = sum(map(seconds_of_update, jobs_of(in_turn)))
        ratios.append(of_pass / of_jobs)
        print(f"  an update of all in one pass {of_pass:.3f} s, in turn {of_jobs:.3f} s, "
              f"{ratios[-1]:.3f}", flush=True)  # fmt: skip
    print(f"steps: {statistics.median(ratios):.3f} (target: at most {STEPS_TARGET})")


def jobs_of(sweep: Path) -> list[Path]:
    """Return the folders of a sweep's jobs."""
    return [path for path in sweep.iterdir() if path.name.isdigit()]


def memory(bench: Bench, options: argparse.Namespace) -> None:
    """Peak memory of one pass, of one job, and the bound."""
    import torch

    from benchmarks.training_contenders import random_base
    from lora_lightning.gpt2.forward import EAGER
    from lora_lightning.methods.lora_method import LoRA
    from lora_lightning.training.memory import estimate_memory

    _, _, together = bench.run(*sweep_of(options.jobs), ONE_PASS)
    _, _, alone = bench.run("method.rank=8")
    with torch.device("meta"):
        model = random_base(options.shape, torch.float32)
        LoRA(max(RANKS), 32, 0.1, ["q", "v"]).apply(model)
    longest = sorted((len(c) + len(t) for c, t in e2e_rows(ROWS * options.updates, None, None)))
    of_job = estimate_memory(model, longest[-ROWS:], EAGER, torch.device("cpu"))
    bound = alone + (options.jobs - 1) * (of_job.training + of_job.activations) / 1e6
    print(f"memory: one pass of {options.jobs} {together:.0f} MB, one job {alone:.0f} MB "
          f"(target: at most {bound:.0f} MB)")  # fmt: skip


def growth(bench: Bench, options: argparse.Namespace) -> None:
    """Time per job of passes of more and more jobs."""
    each: dict[int, list[float]] = {jobs: [] for jobs in JOBS_OF_GROWTH}
    for _ in range(options.rounds):
        for jobs, seconds in each.items():
            folder, *_ = bench.run(*sweep_of(jobs), ONE_PASS)
            update = statistics.median(map(seconds_of_update, jobs_of(folder)))
            seconds.append(update / len(jobs_of(folder)))
    medians = {jobs: statistics.median(seconds) for jobs, seconds in each.items()}
    for jobs, seconds in medians.items():
        print(f"  {jobs:>2} jobs: {seconds:.4f} s for an update of each", flush=True)
    middle = statistics.mean((min(medians.values()), max(medians.values())))
    spread = max(medians.values()) / middle - 1
    print(f"growth: within {100 * spread:.0f} % (target: {100 * GROWTH_TARGET:.0f} %)")


def decoding(bench: Bench, options: argparse.Namespace) -> None:
    """One pass over the contexts of all adapters against one adapter after another."""
    once = (*bench.settings, "trainer.max_steps=1")
    trained, *_ = bench.command("train.py", *sweep_of(options.jobs), ONE_PASS, *once)
    runs = sorted(jobs_of(trained), key=lambda path: int(path.name))
    rows = bench.place / "rows.jsonl"
    one_pass_decoding.measure(
        lambda *given: bench.command("generate.py", *given),
        runs, rows, options.contexts, options.rounds,
    )  # fmt: skip


def gpu(bench: Bench, options: argparse.Namespace) -> None:
    """An update of 16 jobs against one of one job, on a GPU."""
    together, *_ = bench.run(*sweep_of(16), ONE_PASS)
    alone, *_ = bench.run("method.rank=8")
    of_pass = statistics.median(map(seconds_of_update, jobs_of(together)))
    ratio = of_pass / seconds_of_update(alone)
    print(f"gpu: an update of 16 jobs takes {1000 * of_pass:.1f} ms, {ratio:.2f} times one job's "
          f"(target: at most {GPU_TARGET})")  # fmt: skip


PARTS = {"separate": separate, "steps": steps, "memory": memory, "growth": growth,
         "decoding": decoding}  # fmt: skip


def main() -> None:
    """Measure the parts asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", default=list(PARTS), metavar="part")
    parser.add_argument("--jobs", type=int, default=16)
    parser.add_argument("--updates", type=int, default=25)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--contexts", type=int, default=16)
    parser.add_argument("--shape", default="gpt2_small")
    options = parser.parse_args()
    if unknown := set(options.parts) - {*PARTS, "gpu"}:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    print(f"{conditions(['torch'])} {options.shape}")
    with tempfile.TemporaryDirectory() as place:
        for part in options.parts:
            if part == "gpu":
                gpu(Bench(Path(place), options, "gpu"), options)
            else:
                PARTS[part](Bench(Path(place), options), options)


if __name__ == "__main__":
    main()
