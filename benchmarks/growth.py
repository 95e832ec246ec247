"""What grows with the number of jobs, and with the length of a file.

    python benchmarks/growth.py [--jobs 200] [--times 200] [--e2e <E2E's raw files>]

jobs: a sweep of that many jobs in one process; memory, open files and threads after each. files:
encoding a training file, and scoring a test set by all five metrics, that many times as
long as E2E's, or without its folder as the bundled sample's; the peak of each process's memory.
Prints tables, and ends with 1 where something grows that must not, or a process takes more than its
limit.
"""

import argparse
import gzip
import os
import runpy
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from hydra.experimental.callback import Callback

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.table import conditions  # noqa: E402

TINY_JOB = ("trainer=cpu", "trainer.max_steps=1", "trainer.limit_val_batches=1")
# Until the tenth job, libraries are imported and allocators fill their pools.
WARM = 10
MOST_MB_A_JOB = 0.25
# Of the whole process: torch, Lightning and transformers alone take 400 MB.
# A row of E2E is 190 bytes of text; it is held as a line, and as two texts of Python's beside it.
MOST_BYTES_A_ROW = {"encoding": 800, "scoring": 8_000}
LIBRARIES_MB = 600

Row = dict[str, float]


def main() -> None:
    """Measure, print and judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("part", nargs="?", choices=("jobs", "files"), help="default: both")
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--e2e", type=Path, default=ROOT / "data" / "sample" / "e2e")
    arguments = parser.parse_args()
    print(f"{conditions(['torch'])}\n")
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as place:
        if arguments.part != "files":
            faults += report_jobs(run_jobs(arguments.jobs, Path(place)))
        if arguments.part != "jobs":
            faults += measure_files(arguments.e2e, arguments.times, Path(place))
    sys.exit("\n".join(faults) or 0)


class Growth(Callback):
    """Hydra callback that notes what this process holds after each job of a sweep."""

    rows: list[Row] = []  # noqa: RUF012
    shown: set[int] = set()  # noqa: RUF012

    def on_job_end(self, **_: object) -> None:
        """Note memory in MB, open files, threads and processes."""
        process = psutil.Process()
        row = {
            "memory": process.memory_info().rss / 1e6,
            "files": process.num_fds(),
            "threads": process.num_threads(),
            "processes": len(process.children(recursive=True)),
        }
        self.rows.append(row)
        if len(self.rows) in self.shown:
            others = " | ".join(f"{row[name]:.0f}" for name in ("files", "threads", "processes"))
            line = f"| {len(self.rows)} | {row['memory']:.0f} MB | {others} |"
            print(line, file=sys.__stdout__, flush=True)


def run_jobs(jobs: int, place: Path) -> list[Row]:
    """Run a sweep of so many jobs in this process; print and return what it held after them."""
    print("| after job | memory | open files | threads | processes below |\n|---|---|---|---|---|")
    Growth.shown = {1, 2, 5, *range(WARM, jobs, max(jobs // 8, 1)), jobs}
    sys.modules["benchmarks.growth"] = sys.modules[__name__]  # the callback's class is this one
    arguments = [*TINY_JOB, f"seed=range({jobs})", f"output_dir='{place / 'sweep'}'",
                 "+hydra.callbacks.growth._target_=benchmarks.growth.Growth"]  # fmt: skip
    sys.argv = ["train.py", "-m", *arguments]
    os.chdir(ROOT)
    with open(os.devnull, "w") as nowhere:
        output, sys.stdout = sys.stdout, nowhere
        try:
            runpy.run_path("train.py", run_name="__main__")
        finally:
            sys.stdout = output
    return Growth.rows


def report_jobs(rows: list[Row]) -> list[str]:
    """Print how memory grew after the tenth job, and return what grew that must not."""
    warm, last = rows[min(WARM, len(rows)) - 1], rows[-1]
    a_job = (last["memory"] - warm["memory"]) / max(len(rows) - WARM, 1)
    print(f"\nMemory after the tenth job: {a_job:+.3f} MB a job.\n", flush=True)
    faults = [f"{name} grew from {warm[name]:.0f} to {last[name]:.0f}"
              for name in ("files", "threads", "processes") if last[name] > warm[name]]  # fmt: skip
    if a_job > MOST_MB_A_JOB:
        faults.append(f"memory grew by {a_job:.3f} MB a job")
    return faults


def measure_files(e2e: Path, times: int, place: Path) -> list[str]:
    """Print the peak memory of encoding and of scoring long files, and return what was too much."""
    data = place / "data"
    data.mkdir()
    for name in ("train.txt", "valid.txt", "test.txt"):
        packed = e2e / f"{name}.gz"
        text = (
            gzip.decompress(packed.read_bytes()) if packed.exists() else (e2e / name).read_bytes()
        )
        # Contexts of their own: rows of one context beside each other would be one group.
        (data / name).write_bytes(repeated(text, times if name != "valid.txt" else 1))
    lines = (data / "test.txt").read_text(encoding="utf-8").splitlines()
    groups: dict[str, list[str]] = {}
    for line in lines:
        context, _, reference = line.partition("||")
        groups.setdefault(context, []).append(reference)
    (place / "references").write_text("\n\n".join("\n".join(g) for g in groups.values()) + "\n")
    (place / "hypotheses").write_text("".join(g[0] + "\n" for g in groups.values()))
    encoding = ["-m", "lora_lightning.data.export", "data=e2e", f"data.dir='{data}'",
                "split=train", f"output='{place / 'rows.jsonl'}'",
                "model.tokenizer=data/sample/gpt2_tiny"]  # fmt: skip
    scoring = ["evaluate.py", "protocol=e2e",
               f"hypotheses='{place / 'hypotheses'}'",
               f"references='{place / 'references'}'",
               f"output_dir='{place / 'scores'}'"]  # fmt: skip
    rows = {"encoding": (data / "train.txt").read_bytes().count(b"\n"), "scoring": len(lines)}
    print(f"{e2e.name} × {times}\n\n| | rows | time | peak memory | limit |\n|---|---|---|---|---|")
    faults = []
    for what, command in (("encoding", encoding), ("scoring", scoring)):
        started = time.perf_counter()
        peak = peak_megabytes(command)
        limit = LIBRARIES_MB + rows[what] * MOST_BYTES_A_ROW[what] / 1e6
        print(f"| {what} | {rows[what]:,} | {time.perf_counter() - started:.0f} s | {peak:,.0f} MB "
              f"| {limit:,.0f} MB |", flush=True)  # fmt: skip
        if peak > limit:
            faults.append(f"{what} took {peak:.0f} MB, more than {limit:.0f} MB")
    return faults


def repeated(text: bytes, times: int) -> bytes:
    """Return E2E lines so many times over, each time with names of their own in their contexts."""
    lines = text.splitlines(keepends=True)
    return b"".join(
        line.replace(b"name : ", b"name : %d " % number, 1)
        for number in range(times)
        for line in lines
    )


def peak_megabytes(command: list[str]) -> float:
    """Run a Python program from the repository's root, and return its peak of resident memory."""
    process = subprocess.Popen([sys.executable, *command], cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}")
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


if __name__ == "__main__":
    main()
