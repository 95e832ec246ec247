"""What grows with the number of jobs, and with the length of a file.

    python benchmarks/growth.py [jobs] [encoding] [scoring] [--jobs 200] [--times 20 80 320]
        [--e2e <E2E's raw files>] [--write]

jobs: a sweep of that many jobs in one process; memory, open files and threads after each ·
encoding, scoring: a training file, and a test set by all five metrics, so many times as long as
E2E's, or without its folder as the bundled sample's; seconds of the processor and the peak of
memory, Java's included. Ends with 1 where something grows that must not, or a process takes more
than its limit. --write puts the tables into benchmarks/README.md.
"""

import argparse
import gzip
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import psutil
from hydra.experimental.callback import Callback

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import table  # noqa: E402

TINY_JOB = ("trainer=cpu", "trainer.max_steps=1", "trainer.limit_val_batches=1")
# Until the tenth job, libraries are imported and allocators fill their pools.
WARM = 10
MOST_MB_A_JOB = 0.25
# Of the whole process: torch, Lightning and transformers alone take 400 MB.
# A row of E2E is 190 bytes of text; it is held as a line, and as two texts of Python's beside it.
# A segment has 7.4 references, each held as text, words and n-grams.
MOST_BYTES_A_ROW = {"encoding": 800, "scoring": 60_000}
LIBRARIES_MB = 600
# The longest file's time a row, over the shortest's, whose start weighs more.
MOST_GROWTH = 1.1
JOBS_HEAD = ("after job", "memory", "open files", "threads", "processes below")
FILES_HEAD = ("file", "rows", "processor", "a row", "peak memory", "limit")

Row = dict[str, float]
Lines = list[tuple[str, ...]]


class Used(NamedTuple):
    """What a process and those below it used: seconds of the processor, and MB at the peak."""

    seconds: float
    megabytes: float


def main() -> None:
    """Measure, print or write, and judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", default=["jobs", "encoding", "scoring"], metavar="part")
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--times", type=int, nargs="+", default=[20, 80, 320])
    parser.add_argument("--e2e", type=Path, default=ROOT / "data" / "sample" / "e2e")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    faults: list[str] = []
    for part in arguments.parts:
        about = table.conditions(["torch"])
        with tempfile.TemporaryDirectory() as place:
            if part == "jobs":
                measured = run_jobs(arguments.jobs, Path(place))
                head, lines, found = JOBS_HEAD, lines_of_jobs(measured), report_jobs(measured)
            else:
                about += f" {arguments.e2e.name}'s file, so many times."
                head, (lines, found) = FILES_HEAD, grow(part, arguments, Path(place))
        faults += found
        page = f"{about}\n\n{table.rows(head, lines)}"
        print(page, flush=True)
        if arguments.write:
            table.replace(f"growth {part}", page)
    sys.exit("\n".join(faults) or 0)


class Growth(Callback):
    """Hydra callback that notes what this process holds after each job of a sweep."""

    rows: list[Row] = []  # noqa: RUF012

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


def run_jobs(jobs: int, place: Path) -> list[Row]:
    """Run a sweep of so many jobs in this process; return what it held after each."""
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


def lines_of_jobs(rows: list[Row]) -> Lines:
    """Return some of the jobs as lines of the table."""
    shown = sorted({1, *range(WARM, len(rows), max(len(rows) // 4, 1)), len(rows)})
    held = [(number, rows[number - 1]) for number in shown]
    return [
        (str(number), f"{row['memory']:.0f} MB",
         *(f"{row[name]:.0f}" for name in ("files", "threads", "processes")))
        for number, row in held
    ]  # fmt: skip


def report_jobs(rows: list[Row]) -> list[str]:
    """Return what grew after the tenth job that must not."""
    warm, last = rows[min(WARM, len(rows)) - 1], rows[-1]
    a_job = (last["memory"] - warm["memory"]) / max(len(rows) - WARM, 1)
    faults = [f"{name} grew from {warm[name]:.0f} to {last[name]:.0f}"
              for name in ("files", "threads", "processes") if last[name] > warm[name]]  # fmt: skip
    if a_job > MOST_MB_A_JOB:
        faults.append(f"memory grew by {a_job:.3f} MB a job")
    return faults


def grow(part: str, arguments: argparse.Namespace, place: Path) -> tuple[Lines, list[str]]:
    """Return the table's lines for files of growing length, and what was too much."""
    lines, faults, a_row = [], [], []
    for times in arguments.times:
        here = place / str(times)
        here.mkdir()
        command, rows = (encoding if part == "encoding" else scoring)(arguments.e2e, times, here)
        used = used_by(command)
        limit = LIBRARIES_MB + rows * MOST_BYTES_A_ROW[part] / 1e6
        a_row.append(used.seconds / rows)
        lines.append((f"× {times}", f"{rows:,}", f"{used.seconds:.0f} s",
                      f"{1000 * a_row[-1]:.2f} ms",
                      f"{used.megabytes:,.0f} MB", f"{limit:,.0f} MB"))  # fmt: skip
        if used.megabytes > limit:
            faults.append(f"{part} × {times} took {used.megabytes:.0f} MB, more than {limit:.0f}")
    if a_row[-1] > MOST_GROWTH * a_row[0]:
        faults.append(f"{part}: a row takes {a_row[-1] / a_row[0]:.2f} times as long at the end")
    return lines, faults


def encoding(e2e: Path, times: int, place: Path) -> tuple[list[str], int]:
    """Make a long training file; return the command that encodes it, and its rows."""
    for name in ("train.txt", "valid.txt", "test.txt"):
        (place / name).write_bytes(
            repeated(text_of(e2e, name), times if name == "train.txt" else 1)
        )
    command = ["-m", "lora_lightning.data.export", "data=e2e", f"data.dir='{place}'",
               "split=train", f"output='{place / 'rows.jsonl'}'",
               "model.tokenizer=data/sample/gpt2_tiny"]  # fmt: skip
    return command, (place / "train.txt").read_bytes().count(b"\n")


def scoring(e2e: Path, times: int, place: Path) -> tuple[list[str], int]:
    """Make a long test set; return the command that scores it, and its segments.

    The first reference of a context is its text.
    """
    groups: dict[str, list[str]] = {}
    for line in repeated(text_of(e2e, "test.txt"), times).decode().splitlines():
        context, _, reference = line.partition("||")
        groups.setdefault(context, []).append(reference)
    (place / "references").write_text("\n\n".join("\n".join(g) for g in groups.values()) + "\n")
    (place / "hypotheses").write_text("".join(g[0] + "\n" for g in groups.values()))
    command = ["evaluate.py", "protocol=e2e",
               f"hypotheses='{place / 'hypotheses'}'",
               f"references='{place / 'references'}'",
               f"output_dir='{place / 'scores'}'"]  # fmt: skip
    return command, len(groups)


def text_of(e2e: Path, name: str) -> bytes:
    """Return one of E2E's files, which may be packed."""
    packed = e2e / f"{name}.gz"
    return gzip.decompress(packed.read_bytes()) if packed.exists() else (e2e / name).read_bytes()


def repeated(text: bytes, times: int) -> bytes:
    """Return E2E lines so many times over, each time with names of their own in their contexts."""
    lines = text.splitlines(keepends=True)
    return b"".join(
        line.replace(b"name : ", b"name : %d " % number, 1)
        for number in range(times)
        for line in lines
    )


def used_by(command: list[str]) -> Used:
    """Run a Python program from the repository's root."""
    process = subprocess.Popen([sys.executable, *command], cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}")
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
    return Used(usage.ru_utime + usage.ru_stime, peak)


if __name__ == "__main__":
    main()
