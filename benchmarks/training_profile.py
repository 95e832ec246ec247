"""What a training step is made of, for `benchmarks.profiled`."""

from torch.autograd.profiler_util import FunctionEvent

from benchmarks.training_contenders import RANK

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


def place_in_training(event: FunctionEvent) -> str:
    """Name the place that an operation belongs to."""
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
