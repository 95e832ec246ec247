"""Where the time of a training step goes, by torch's profiler."""

from collections import defaultdict
from typing import Any

from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile

from benchmarks.training_contenders import RANK, Contender

PRODUCTS = ("aten::mm", "aten::addmm", "mkldnn::_linear_pointwise")
PLACES = {
    "_RowByRow": "attention",
    "_FrozenMLP": "GELU and its derivative",
    "_AdaptedProduct": "LoRA's thin products, dropout",
    "_ChunkedCrossEntropy": "softmax and loss",
    "native_layer_norm": "layer norms",
    "Optimizer.step": "optimizer",
}
"""Beginnings of what the profiler calls them; a backward pass has the name of its forward pass."""
LARGE, REST = "the base's products", "residuals and the rest"


def seconds_of_places(contender: Contender, batch: Any, steps: int) -> dict[str, float]:
    """Return the seconds of a step in each place, from most to least; the host's own time."""
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiler:
        for _ in range(steps):
            contender.step(batch)
    seconds: dict[str, float] = defaultdict(float)
    for event in profiler.events():
        seconds[_place(event)] += event.self_cpu_time_total / 1e6 / steps
    return dict(sorted(seconds.items(), key=lambda place: -place[1]))


def _place(event: FunctionEvent) -> str:
    if event.name in PRODUCTS and not _is_thin(event):
        return LARGE
    ancestor: FunctionEvent | None = event
    while ancestor is not None:
        name = ancestor.name.rpartition("::")[2]
        for beginning, place in PLACES.items():
            if name.startswith(beginning):
                return place
        ancestor = ancestor.cpu_parent
    return REST


def _is_thin(event: FunctionEvent) -> bool:
    return any(1 < size <= RANK for shape in event.input_shapes for size in shape)
