"""How much arithmetic a training step needs, and how much a device could do."""

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from transformers import GPT2LMHeadModel

PEAK_SECONDS = 1.0  # of measuring


def training_flops(model: GPT2LMHeadModel, lengths: Sequence[int], labels: int) -> float:
    """Return the nominal floating-point operations of one micro-batch, forward and backward.

    Counted are products only: every matrix of every block for every token of the rows, causal
    attention within the rows, and the head for the labelled tokens; forward, gradient of the input,
    and gradient of the weight where it is trained. What an implementation leaves out still counts,
    so that leaving out shows as speed.

    Args:
        model: a method applied.
        lengths: tokens of each row, its last one included.
        labels: number of labelled tokens.
    """
    # A product of a token with a matrix takes two operations an entry: multiply and add.
    per_token = sum(
        2 * _passes(p) * p.numel() for p in model.transformer.h.parameters() if p.dim() == 2
    )
    head = model.lm_head.weight
    per_label = 2 * _passes(head) * head.numel()
    # Scores and weighted values: two products over the tokens so far, and twice that backward.
    width, layers = model.config.n_embd, model.config.n_layer
    attention = sum(6 * width * layers * length * (length + 1) for length in lengths)
    return float(sum(lengths) * per_token + labels * per_label + attention)


def _passes(weight: Tensor) -> int:
    return 3 if weight.requires_grad else 2


def measured_peak(width: int, dtype: torch.dtype, device: torch.device) -> float:
    """Measure how many operations a second the device does in products of the model's shape.

    Args:
        width: of the model; the product is (tokens, width) by (width, 4 · width).
        dtype: of the factors.
        device: where to measure; nothing else should run there.

    Returns:
        FLOP/s of the fastest of many products.
    """
    tokens = 512 if device.type == "cpu" else 8192
    generator = torch.Generator(device).manual_seed(0)  # the run's own numbers stay as they are
    left = torch.randn(tokens, width, device=device, generator=generator).to(dtype)
    right = torch.randn(width, 4 * width, device=device, generator=generator).to(dtype)
    seconds = _fastest(lambda: left @ right, device)
    return 2 * left.numel() * right.shape[1] / seconds


def _fastest(product: Callable[[], Tensor], device: torch.device) -> float:
    """Return the seconds of the fastest run of `product` on `device`, the first two not counted."""
    times: list[float] = []
    end = time.perf_counter() + PEAK_SECONDS
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        product()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return min(times[2:])
