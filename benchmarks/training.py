"""Training steps against the reference's arithmetic, PEFT, and the machine's own limit.

    python benchmarks/training.py [points …] [--dtype float32|bfloat16] [--shape gpt2_small]
        [--rounds 5] [--write] [--data-dir <E2E's raw files> --tokenizer <GPT-2's folder>]

Points: reference peft bound profile packed command growth startup; default all. Contenders run in
processes of their own and step in turn, so that whatever else the machine does hits all alike.
`--write` puts the tables into benchmarks/README.md. Peers: pip install -e '.[bench]'. On a
GPU: gpu.py.
"""

import argparse
import importlib.util
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import table  # noqa: E402
from benchmarks.profiled import shares  # noqa: E402
from benchmarks.training_report import (  # noqa: E402
    HEAD,
    Measurement,
    Row,
    line,
    paired_ratio,
    said,
    spread,
)
from benchmarks.training_rows import RowIds, e2e_rows, synthetic_rows  # noqa: E402

COMMAND_UPDATES = 40
APART = {"reference": "reference", "profile": "profile", "growth": "growth", "startup": "start-up"}
"""Points with a table of their own, and its name."""
PEERS = ("peft padded", "peft flattened", "peft trainer")
TRL = "trl padding-free"


class Worker:
    """A contender's process."""

    def __init__(self, name: str, arguments: argparse.Namespace, dtype: str) -> None:
        self.name = name
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.training_worker", name, arguments.shape, dtype],
            cwd=ROOT,
            env=os.environ | {"TRANSFORMERS_VERBOSITY": "error", "PYTHONWARNINGS": "ignore"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, **command: Any) -> dict[str, Any]:
        """Send a command and wait for the answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit(f"{self.name} ended: are the peers installed, is there enough memory?")
        parsed: dict[str, Any] = json.loads(answer)
        return parsed

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def main() -> None:
    """Measure the points asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("points", nargs="*", default=list(POINTS))
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--shape", default="gpt2_small")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="into benchmarks/README.md")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--tokenizer", type=Path)
    arguments = parser.parse_args()
    about = (
        f"{table.conditions(['torch', 'transformers', 'peft', 'trl'])} {arguments.shape}, "
        f"{arguments.dtype}, {torch.get_num_threads()} threads, {arguments.rounds} rounds."
    )
    print(about)
    found: dict[str, list[Row]] = {}
    for point in arguments.points:
        name = f"training {APART[point]}" if point in APART else "training"
        found.setdefault(f"{name} {arguments.dtype}", []).extend(POINTS[point](arguments))
    if arguments.write:
        for name, rows in found.items():
            table.replace(name, f"{about}\n\n{table.rows(HEAD, rows)}")


def compare(
    names: list[str], rows: list[RowIds], arguments: argparse.Namespace, rounds: int
) -> dict[str, Measurement]:
    """Let contenders step in turn, after one step each that is not counted."""
    workers = [Worker(name, arguments, arguments.dtype) for name in names]
    measured = {name: Measurement(name) for name in names}
    for worker in workers:
        worker.ask(rows=rows)
        worker.ask(steps=1)
    for _ in range(rounds):
        for worker in workers:
            answer = worker.ask(steps=1)
            measured[worker.name].seconds += answer["seconds"]
            measured[worker.name].bytes = max(measured[worker.name].bytes, answer["bytes"])
    for worker in workers:
        worker.__exit__()
    return measured


def reference(arguments: argparse.Namespace) -> list[Row]:
    """1. The reference's arithmetic."""
    rows = rows_for(8, arguments)
    print("\n1. the reference's arithmetic, 8 rows a step (target: 25x in float32)")
    measured = compare(["reference", "ours, q and v"], rows, arguments, min(arguments.rounds, 3))
    peer, ours = measured.values()
    padded, packed = (nominal_flops(r, arguments.shape) for r in (padded_rows(rows), rows))
    remark = f"ours: {paired_ratio(peer, ours):.1f} ×, at 1/{padded / packed:.1f} of the operations"
    return [line(peer, remark), line(ours)]


def peft(arguments: argparse.Namespace) -> list[Row]:
    """2 and 4. PEFT and transformers: time and memory of the same step."""
    rows = rows_for(8, arguments)
    print("\n2. PEFT, 8 rows a step (target: 1.7 × of the fastest in float32, 2.8 × in bfloat16)")
    print("4. memory above interpreter and base (target: at most 0.5 of the same peer's)")
    peers = list(PEERS)
    if importlib.util.find_spec("trl"):
        peers.append(TRL)
    else:
        print(f"  {TRL}: left out, trl is not installed")
    measured = compare([*peers, "ours"], rows, arguments, arguments.rounds)
    *theirs, ours = measured.values()
    return [
        *(
            line(
                peer, f"ours: {paired_ratio(peer, ours):.2f} ×, {ours.bytes / peer.bytes:.2f} of it"
            )
            for peer in theirs
        ),
        line(ours),
    ]


def bound(arguments: argparse.Namespace) -> list[Row]:
    """3. The machine's matrix products."""
    rows = rows_for(8, arguments)
    print("\n3. share of the bound, 8 rows a step (target: 0.85 float32, 0.7 bfloat16)")
    flops = nominal_flops(rows, arguments.shape, whole=True)
    size = [sum(map(len, row)) - 1 for row in rows], [len(completion) for _, completion in rows]
    tokens, labels = map(sum, size)
    shares, alone = [], []
    with Worker("ours", arguments, arguments.dtype) as worker:
        worker.ask(rows=rows)
        worker.ask(steps=1)
        for _ in range(arguments.rounds):
            least = worker.ask(products=[tokens, labels])["seconds"]
            seconds = statistics.median(worker.ask(steps=3)["seconds"])
            shares.append(least / seconds)
            alone.append(least)
    middle = statistics.median(alone)
    what = f"bound: the products alone, {flops / middle / 1e9:.0f} GFLOP/s"
    time = f"{middle:.3f} s ({min(alone):.3f} … {max(alone):.3f})"
    return [said(what, time, "", f"ours: {spread(shares)} of the bound")]


def profile(arguments: argparse.Namespace) -> list[Row]:
    """3. What stands between a step and its bound."""
    print("\n3. where the time of a step goes, by a profiler, which costs some of it")
    with Worker("ours", arguments, arguments.dtype) as worker:
        worker.ask(rows=rows_for(8, arguments))
        worker.ask(steps=1)
        places = worker.ask(profile=3 * arguments.rounds)["seconds"]
    return [said(place, time, "", share) for place, time, share in shares(places)]


def packed(arguments: argparse.Namespace) -> list[Row]:
    """Weights laid out for the CPU's products, and not: `model.packed=true`, `false`."""
    print("\n   packed weights, 8 rows a step")
    names = ["ours, packed", "ours, not packed"]
    measured = compare(names, rows_for(8, arguments), arguments, arguments.rounds)
    ours, plain = measured.values()
    return [line(ours), line(plain, f"packed: {paired_ratio(plain, ours):.2f} ×")]


def command(arguments: argparse.Namespace) -> list[Row]:
    """train.py as a user runs it, against the bare step on the same rows."""
    print("\n   train.py against the bare step, the same 8 rows a step (target: 0.97 of its speed)")
    rows = rows_for(8, arguments)
    tokens = sum(len(context) + len(completion) for context, completion in rows)
    shares = []
    with tempfile.TemporaryDirectory() as name, Worker("ours", arguments, arguments.dtype) as bare:
        folder = Path(name)
        vocabulary = save_base(folder / "base", arguments)
        known = [[[id % vocabulary for id in part] for part in row] for row in rows]
        lines = [{"context": context, "completion": completion} for context, completion in known]
        repeated = [json.dumps(row) + "\n" for row in lines] * COMMAND_UPDATES
        (folder / "train.jsonl").write_text("".join(repeated))
        bare.ask(rows=rows)
        bare.ask(steps=2)
        for number in range(arguments.rounds):
            own = tokens / statistics.median(bare.ask(steps=10)["seconds"])
            whole = command_rate(folder, folder / str(number), arguments.dtype)
            shares.append(whole / own)
    what = f"train.py, {whole:,.0f} tokens a second"
    return [said(what, "", "", f"{spread(shares)} of the bare step's {own:,.0f}")]


def save_base(folder: Path, arguments: argparse.Namespace) -> int:
    """Write the contenders' base as a folder that the commands load; return its tokenizer's size.

    Without GPT-2's the bundled tokenizer serves: what the ids are changes nothing of the time.
    """
    from benchmarks.training_contenders import random_base
    from lora_lightning.data.tokenizer import load_tokenizer

    random_base(arguments.shape, getattr(torch, arguments.dtype)).save_pretrained(folder)
    tokenizer = arguments.tokenizer or ROOT / "data/sample/base/gpt2_tiny"
    for name in ("tokenizer.json", "vocab.json", "merges.txt"):
        if (tokenizer / name).is_file():
            shutil.copy(tokenizer / name, folder)
    return load_tokenizer(folder).vocab_size


def command_rate(folder: Path, run: Path, dtype: str) -> float:
    """Train by command on `folder`'s base and rows, and return its tokens a second."""
    given = {
        "output_dir": run,
        "data": "jsonl",
        "data.train": folder / "train.jsonl",
        "data.shuffle": "false",
        "model.path": folder / "base",
        "model.dtype": dtype,
        "method.targets": "[c_attn]",
        "loss.label_smoothing": 0,
        "trainer.max_steps": COMMAND_UPDATES,
        "trainer.limit_val_batches": 0,
    }
    line = [sys.executable, "train.py", *(f"{key}={value}" for key, value in given.items())]
    subprocess.run(line, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    rate: float = json.loads((run / "run.json").read_text())["throughput"]["tokens_per_second"]
    return rate


def growth(arguments: argparse.Namespace) -> list[Row]:
    """5. Time per real token as rows become more, and more unequal."""
    print("\n5. time per real token (target: within 10 %)")
    draw = random.Random(0)
    lengths = [draw.choice((20, 53, 86)) for _ in range(32)]
    unequal = [(28 * n // 53, n - 28 * n // 53) for n in lengths]  # labels as many as in the equal
    sets = {f"{number} rows": rows_for(number, arguments) for number in (8, 32, 64, 128, 256)}
    sets["32 rows of one length"] = synthetic_rows([(28, 25)] * 32)
    sets["32 rows of 20, 53 or 86 tokens"] = synthetic_rows(unequal)
    found = []
    with Worker("ours", arguments, arguments.dtype) as worker:
        for name, rows in sets.items():
            worker.ask(rows=rows)
            worker.ask(steps=1)
            worker_seconds = worker.ask(steps=max(2, 40 // len(rows)))["seconds"]
            tokens = sum(len(context) + len(completion) for context, completion in rows)
            each = 1e3 * statistics.median(worker_seconds) / tokens
            found.append(said(name, f"{each:.3f} ms a token"))
    return found


def startup(arguments: argparse.Namespace) -> list[Row]:
    """6. From the command to the end of the first step, with the bundled model."""
    print("\n6. start-up of train.py, bundled model (target: 3 s)")
    seconds = []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as folder:
            seconds.append(first_step(Path(folder) / "run"))
    time = f"{statistics.median(seconds):.1f} s ({min(seconds):.1f} … {max(seconds):.1f})"
    return [said("train.py to the end of its first step", time)]


def first_step(run: Path) -> float:
    """Start train.py, and return the seconds until metrics.csv has its first row."""
    start = time.perf_counter()
    command = [sys.executable, "train.py", f"output_dir={run}", "trainer.max_steps=1000"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        while not (run / "metrics.csv").is_file():
            if process.poll() is not None:
                sys.exit("train.py ended before its first step")
            time.sleep(0.02)
        return time.perf_counter() - start
    finally:
        process.terminate()
        process.wait()


def rows_for(number: int, arguments: argparse.Namespace) -> list[RowIds]:
    """Return E2E rows, real where the folders were given."""
    return e2e_rows(number, arguments.data_dir, arguments.tokenizer)


def padded_rows(rows: list[RowIds]) -> list[RowIds]:
    """Return rows as long as the reference makes them, a label at every position."""
    return synthetic_rows([(1, 511)] * len(rows))


def nominal_flops(rows: list[RowIds], shape: str, whole: bool = False) -> float:
    """Return the operations of a step on rows, LoRA on q and v, or on all of `c_attn`."""
    from benchmarks.training_contenders import random_base
    from lora_lightning.gpt2.flops import training_flops
    from lora_lightning.methods.lora_method import LoRA

    with torch.device("meta"):
        model = random_base(shape, torch.float32)
        LoRA(4, 32, 0.1, ["c_attn"] if whole else ["q", "v"]).apply(model)
    lengths = [len(context) + len(completion) for context, completion in rows]
    return training_flops(model, lengths, sum(len(completion) for _, completion in rows))


POINTS = {
    "reference": reference,
    "peft": peft,
    "bound": bound,
    "profile": profile,
    "packed": packed,
    "command": command,
    "growth": growth,
    "startup": startup,
}

if __name__ == "__main__":
    main()
