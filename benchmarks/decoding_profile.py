"""What a beam search is made of, for `benchmarks.profiled`."""

from torch.autograd.profiler_util import FunctionEvent

VOCABULARY = 50257
PLACES = {
    "mkldnn::_linear_pointwise": "the base's products",
    "mkldnn::_reorder_linear_weight": "laying the weights out, once a command",
    "aten::_scaled_dot_product_flash_attention_for_cpu": "attention",
    "aten::index_copy_": "keeping keys and values",
    "aten::native_layer_norm": "layer norms",
}
CHOOSING = "log p of the vocabulary and the best of it"
REST = "residuals, bookkeeping of the beams, and the rest"


def place_in_decoding(event: FunctionEvent) -> str:
    """Name the place that an operation belongs to."""
    if event.name in PLACES:
        return PLACES[event.name]
    if event.name == "aten::copy_" and _is_weight(event):
        return PLACES["mkldnn::_reorder_linear_weight"]
    return CHOOSING if _sees_the_vocabulary(event) else REST


def _sees_the_vocabulary(event: FunctionEvent) -> bool:
    """Whether it reads (context, beam, vocab) or, for their maxima, (context, beam, block, 64)."""
    shapes = [shape for shape in event.input_shapes if len(shape) >= 3]
    return any(shape[2] in (VOCABULARY, VOCABULARY // 64) for shape in shapes)


def _is_weight(event: FunctionEvent) -> bool:
    return any(len(shape) == 2 and min(shape) >= 768 for shape in event.input_shapes)
