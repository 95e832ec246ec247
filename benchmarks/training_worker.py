"""One contender in a process of its own, so that memory and allocator are its alone.

Reads commands from the standard input and answers on the standard output, a JSON line each:
`{"rows": [...]}` prepares a batch, `{"steps": n}` trains on it and gives the seconds of each step
and the peak of memory above the base, `{"products": [tokens, labels]}` measures the matrix products
of a step of that size, each alone: the least time that the device needs for them. `{"profile": n}`
trains n steps under a profiler and gives the seconds of a step in each place.
"""

import json
import os
import statistics
import sys
import time
from collections import Counter
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import GPT2LMHeadModel

from benchmarks.profiled import seconds_of_places
from benchmarks.training_contenders import RANK, Contender, random_base
from benchmarks.training_profile import place_in_training

PRODUCT_RUNS = 30
CONTENDERS = {
    "ours": ("benchmarks.training_contenders", "Ours"),
    "ours, packed": ("benchmarks.training_contenders", "OursPacked"),
    "ours, not packed": ("benchmarks.training_contenders", "OursNotPacked"),
    "ours, q and v": ("benchmarks.training_contenders", "OursLikeTheReference"),
    "reference": ("benchmarks.training_reference", "ReferenceArithmetic"),
    "peft padded": ("benchmarks.training_contenders", "PeftPadded"),
    "peft flattened": ("benchmarks.training_contenders", "PeftFlattened"),
    "peft trainer": ("benchmarks.training_contenders", "PeftTrainer"),
    "trl padding-free": ("benchmarks.training_contenders", "TrlFlattened"),
}
OF_METHODS = {"ours": "OursOf", "peft padded": "PeftPaddedOf", "peft flattened": "PeftFlattenedOf"}
"""Contenders of one option of `method=`: their names are `<option>: <contender>`."""


def main(name: str, shape: str, dtype: str) -> None:
    """Answer commands until the input ends."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    base = random_base(shape, getattr(torch, dtype))
    contender = contender_of(name, base, device)
    before = memory(device, "VmRSS")
    batch: Any = None
    # Only answers may reach the controller.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        command = json.loads(line)
        if "rows" in command:
            batch, answer = contender.batch(command["rows"]), {}
        elif "trained" in command:
            parameters = contender.model.parameters()
            answer = {"trained": sum(p.numel() for p in parameters if p.requires_grad)}
        elif "steps" in command:
            reset_peak(device)
            seconds = [timed_step(contender, batch, device) for _ in range(command["steps"])]
            answer = {"seconds": seconds, "bytes": memory(device, "VmHWM") - before}
        elif "profile" in command:
            step = partial(contender.step, batch)
            answer = {"seconds": seconds_of_places(step, command["profile"], place_in_training)}
        else:
            answer = {"seconds": products(contender, *command["products"])}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def contender_of(name: str, base: GPT2LMHeadModel, device: torch.device) -> Contender:
    """Build a contender around a base."""
    option, _, kind = name.rpartition(": ")
    if option:
        of_method = getattr(import_module("benchmarks.methods_contenders"), OF_METHODS[kind])
        contender: Contender = of_method(option, base, device)
    else:
        module, attribute = CONTENDERS[name]
        contender = getattr(import_module(module), attribute)(base, device)
    return contender


def timed_step(contender: Contender, batch: Any, device: torch.device) -> float:
    """Return the seconds of one step."""
    start = time.perf_counter()
    contender.step(batch)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def products(contender: Contender, tokens: int, labels: int) -> float:
    """Return the seconds of a step's products: every block's for all tokens, the head's for labels.

    Forward and gradient of the input. Each product is measured at its own shape; the median of its
    runs counts, as it does for the steps.
    """
    weights = dict(contender.model.named_parameters())
    shapes = Counter((w.shape, tokens) for n, w in weights.items() if w.dim() == 2 and ".h." in n)
    [head] = (w for n, w in weights.items() if n.endswith("wte.weight"))
    shapes[(head.T.shape, labels)] = 1
    largest = Counter({key: n for key, n in shapes.items() if min(key[0]) > RANK})  # not LoRA's
    return sum(n * seconds_of(shape, rows, head) for (shape, rows), n in largest.items())


def seconds_of(shape: torch.Size, rows: int, like: Tensor) -> float:
    """Return the seconds of (rows, in) by (in, out) and of its gradient's product."""
    weight = torch.randn(shape, device=like.device).to(like.dtype)
    x, gradient = (torch.randn(rows, n, device=like.device).to(like.dtype) for n in shape)
    times = []
    for _ in range(PRODUCT_RUNS):
        start = time.perf_counter()
        torch.mm(x, weight)
        torch.mm(gradient, weight.T)
        if like.is_cuda:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def memory(device: torch.device, field: str) -> int:
    """Return bytes: resident now (VmRSS) or at the peak (VmHWM); on a GPU, allocated."""
    if device.type == "cuda":
        return (
            torch.cuda.memory_allocated() if field == "VmRSS" else torch.cuda.max_memory_allocated()
        )
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split(f"{field}:")[1].split()[0])


def reset_peak(device: torch.device) -> None:
    """Forget the peak so far."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    else:
        Path("/proc/self/clear_refs").write_text("5")


if __name__ == "__main__":
    main(*sys.argv[1:])
