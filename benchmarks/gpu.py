"""Everything that a GPU is for, on one GPU, in one table to paste.

    python benchmarks/gpu.py [--minutes 11] [--shape gpt2_medium]

Correctness against the CPU first, then speed: training against PEFT and TRL, the share of the GPU's
own matrix products, the paper's E2E run extrapolated, decoding of a test set against transformers,
memory. Random weights and rows of E2E's lengths: no network, no data. A peer that is not installed
is left out with a line; what does not fit into the time as well. `--device cpu --shape tiny` tries
the program.
"""

import argparse
import copy
import gc
import importlib.metadata
import importlib.util
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from benchmarks.training_contenders import (
    Contender,
    Ours,
    PeftFlattened,
    PeftPadded,
    TrlFlattened,
    random_base,
)
from benchmarks.training_rows import RowIds, e2e_rows

PAPER_UPDATES, PAPER_ROWS = 26_290, 8  # of the paper's run on E2E: five epochs
TEST_CONTEXTS = 630
PEERS: dict[str, tuple[type[Contender], str]] = {
    "PEFT, rows padded": (PeftPadded, "peft"),
    "PEFT, padding-free collator": (PeftFlattened, "peft"),
    "PEFT + TRL, padding-free": (TrlFlattened, "trl"),
}


class Line(NamedTuple):
    """A row of the table."""

    what: str
    found: str
    target: str = ""


class Bench:
    """What all points need: the device, the shape, and how much time is left."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.device = torch.device(arguments.device)
        self.shape: str = arguments.shape
        self.end = time.monotonic() + 60 * arguments.minutes
        self.steps: int = arguments.steps

    @property
    def seconds_left(self) -> float:
        """Seconds until the program is to end."""
        return self.end - time.monotonic()

    def wait(self) -> None:
        """Wait for the device."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def seconds_of_steps(self, contender: Contender, rows: list[RowIds], steps: int) -> float:
        """Return the mean seconds of a step, the batch new each time as in training."""
        batch = contender.batch(rows)
        for _ in range(5):
            contender.step(batch)
        self.wait()
        start = time.perf_counter()
        for _ in range(steps):
            contender.step(batch)
        self.wait()
        return (time.perf_counter() - start) / steps


def correctness(bench: Bench) -> Iterator[Line]:
    """Loss and gradients of the same step here and on the CPU, and the same beams."""
    rows = e2e_rows(4, None, None)
    for dtype, allowed in ((torch.float32, 1e-3), (torch.bfloat16, 5e-2)):
        steps = []
        for device in (torch.device("cpu"), bench.device):
            contender = Ours(random_base("gpt2_small", dtype), device)
            contender.model.eval()  # a dropout mask is another on each device
            torch.manual_seed(1)
            trained = [p for p in contender.model.parameters() if p.requires_grad]
            with torch.no_grad():
                for parameter in trained:  # B is zero at the start, and A then has no gradient
                    parameter.copy_(0.02 * torch.randn(parameter.shape))
            loss = contender.backward(contender.batch(rows))
            gradient = torch.cat([p.grad.flatten() for p in trained if p.grad is not None])
            steps.append((loss.item(), gradient.cpu()))
        (here, gradient), (there, other) = steps
        distance = relative(gradient, other)
        verdict = "ok" if distance < allowed and abs(here - there) < allowed else "DIFFERS"
        yield Line(
            f"{name_of(dtype)}: loss on the CPU and here; distance of the gradients",
            f"{here:.5f}, {there:.5f}; {distance:.1e}: {verdict}",
            f"below {allowed:g}",
        )
    yield Line("float32: the best of 10 beams, the same tokens", *same_beams(bench))


def same_beams(bench: Bench) -> tuple[str, str]:
    """Return how many texts of both devices are the same, and how many should be."""
    from decoding import PAPER, e2e_queries

    from lora_lightning.decoding.runner import decode_contexts

    queries, model = e2e_queries(8), sharp_base("tiny", torch.float32)
    found = []
    for device in (torch.device("cpu"), bench.device):
        moved = copy.deepcopy(model).to(device)
        texts = dict(decode_contexts(moved, queries, PAPER))
        found.append([texts[index][0].tokens for index in range(len(queries))])
    same = sum(one == other for one, other in zip(*found, strict=True))
    return f"{same} of {len(queries)}", "all, but for ties"


def training(bench: Bench) -> Iterator[Line]:
    """A step of 8 rows, ours against the peers in turn; the paper's run extrapolated."""
    rows = e2e_rows(PAPER_ROWS, None, None)
    ours = Ours(random_base(bench.shape, torch.bfloat16), bench.device)
    reset_peak(bench)
    own = bench.seconds_of_steps(ours, rows, bench.steps)
    yield Line(
        f"{bench.shape}, bfloat16, {PAPER_ROWS} rows a step, ours",
        f"{1e3 * own:.1f} ms, {peak(bench)}",
    )
    yield Line(
        f"the paper's {PAPER_UPDATES:,} updates, from {bench.steps}",
        f"{PAPER_UPDATES * own:.0f} s",
        "90 s",
    )
    ratios = []
    for name, (kind, library) in PEERS.items():
        if importlib.util.find_spec(library) is None:
            yield Line(name, f"left out: {library} is not installed")
            continue
        peer = kind(random_base(bench.shape, torch.bfloat16), bench.device)
        reset_peak(bench)
        steps = max(5, bench.steps // 10)
        rounds = []
        for _ in range(3):
            theirs = bench.seconds_of_steps(peer, rows, steps)
            rounds.append((theirs, theirs / bench.seconds_of_steps(ours, rows, steps)))
        seconds, ratio = (statistics.median(values) for values in zip(*rounds, strict=True))
        ratios.append(ratio)
        yield Line(
            f"{name}", f"{1e3 * seconds:.1f} ms, {peak(bench)}; ours is {ratio:.2f} × as fast"
        )
        del peer
    if ratios:
        yield Line("ours against the fastest peer", f"{min(ratios):.2f} ×", "2 ×")


def share_of_peak(bench: Bench) -> Iterator[Line]:
    """Operations of a step over its time, as a share of the GPU's own matrix products."""
    from lora_lightning.gpt2.flops import measured_peak, training_flops

    contender = Ours(random_base(bench.shape, torch.bfloat16), bench.device)
    rate = measured_peak(contender.model.config.n_embd, torch.bfloat16, bench.device)
    yield Line("the GPU's own products, bfloat16", f"{rate / 1e12:.0f} TFLOP/s")
    for number in (8, 64, 256):
        rows = e2e_rows(number, None, None)
        seconds = bench.seconds_of_steps(contender, rows, max(5, bench.steps // 25))
        lengths = [len(context) + len(completion) for context, completion in rows]
        labels = sum(len(completion) for _, completion in rows)
        share = training_flops(contender.model, lengths, labels) / seconds / rate
        yield Line(
            f"{number} rows a step: share of that, and tokens a second",
            f"{share:.2f}, {sum(lengths) / seconds:,.0f}",
            "0.45" if number == 256 else "",
        )


def decoding(bench: Bench) -> Iterator[Line]:
    """The E2E test set's distinct contexts, beam 10, against transformers."""
    from decoding import PAPER, e2e_queries
    from decoding_peers import our_engine, transformers_generate

    model = sharp_base(bench.shape, torch.bfloat16).to(bench.device)
    queries = e2e_queries(TEST_CONTEXTS if bench.device.type == "cuda" else 16)
    ours, theirs = our_engine(model), transformers_generate(model, 64)
    reset_peak(bench)
    own = [timed(bench, lambda: ours(queries, PAPER)) for _ in range(3)]
    yield Line(
        f"{len(queries)} contexts, beam 10, {PAPER.max_new_tokens} tokens each, ours",
        f"{min(own):.2f} s ({own[0]:.2f} s the first time), {peak(bench)}",
        "1.0 s",
    )
    reset_peak(bench)
    few = queries[:: max(1, len(queries) // 128)]
    seconds = [timed(bench, lambda: theirs(few, PAPER)) for _ in range(2)]
    per_context = min(seconds) / len(few)
    yield Line(
        f"transformers.generate, {len(few)} of them, 64 at a time",
        f"{min(seconds):.2f} s, {peak(bench)}; ours is "
        f"{per_context / (min(own) / len(queries)):.1f} × as fast a context",
    )


POINTS: tuple[tuple[Callable[[Bench], Iterator[Line]], float], ...] = (
    # Seconds that each needs at least; a point that no longer fits is left out.
    (correctness, 60),
    (training, 120),
    (share_of_peak, 60),
    (decoding, 60),
)


def main() -> None:
    """Run the points, and print the table of what there was time for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=11, help="end by then (default 11)")
    parser.add_argument("--shape", default="gpt2_medium", help="gpt2_small, gpt2_medium or tiny")
    parser.add_argument("--steps", type=int, default=500, help="of the longest measurement")
    parser.add_argument("--device", default="cuda", help="cuda, or cpu to try the program")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        sys.exit("error: this torch sees no GPU; --device cpu --shape tiny tries the program")
    bench = Bench(arguments)
    table = [Line("machine", machine(bench.device))]
    try:
        for point, least in POINTS:
            if bench.seconds_left < least:
                table.append(Line(point.__name__, "left out: no time was left"))
                continue
            table += progress(point(bench))
            gc.collect()
    except KeyboardInterrupt:
        table.append(Line("interrupted", "the rest was not measured"))
    print("\n| | found | target |\n|---|---|---|")
    for line in table:
        print(f"| {line.what} | {line.found} | {line.target} |")


def progress(lines: Iterator[Line]) -> Iterator[Line]:
    """Say each line as it comes; what a point fails with is its last line."""
    try:
        for line in lines:
            print(f"{line.what}: {line.found}", file=sys.stderr, flush=True)
            yield line
    except (RuntimeError, ImportError, TypeError, ValueError) as error:
        message = str(error).strip().splitlines() or [""]
        print(f"failed: {message[0]}", file=sys.stderr, flush=True)
        yield Line("failed", f"{type(error).__name__}: {message[0]}")


def sharp_base(shape: str, dtype: torch.dtype) -> Any:
    """Return a base whose random weights are large enough for sharp distributions."""
    model = random_base(shape, torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(2.5)
    from lora_lightning.gpt2.projection import with_own_projections

    return with_own_projections(model.to(dtype)).eval()


def timed(bench: Bench, run: Callable[[], object]) -> float:
    """Return the seconds of a call, the device waited for."""
    start = time.perf_counter()
    run()
    bench.wait()
    return time.perf_counter() - start


def relative(one: Tensor, other: Tensor) -> float:
    """Return |one - other| / |one|."""
    return float((one - other).norm() / one.norm())


def reset_peak(bench: Bench) -> None:
    """Forget the peak of memory so far."""
    gc.collect()
    if bench.device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak(bench: Bench) -> str:
    """Return the GPU's peak of memory since then, all contenders' bases included."""
    if bench.device.type != "cuda":
        return "memory not measured"
    return f"peak {torch.cuda.max_memory_allocated() / 2**30:.2f} GiB"


def name_of(dtype: torch.dtype) -> str:
    """Return a dtype's name without `torch.`."""
    return str(dtype).removeprefix("torch.")


def machine(device: torch.device) -> str:
    """Name the device and the versions that matter."""
    name = torch.cuda.get_device_name() if device.type == "cuda" else platform.processor()
    versions = [f"torch {torch.__version__}", f"CUDA {torch.version.cuda}"]
    for library in ("transformers", "peft", "trl"):
        if importlib.util.find_spec(library) is None:
            versions.append(f"no {library}")
        else:
            versions.append(f"{library} {importlib.metadata.version(library)}")
    return f"{name or 'CPU'}; {', '.join(versions)}"


if __name__ == "__main__":
    main()
