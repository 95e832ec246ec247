"""Cross-entropy of a linear head without its logits: they live one chunk of labels at a time.

torch's own `linear_cross_entropy` is chunked only without label smoothing, and then returns a
bfloat16 loss for a bfloat16 head, which has two digits; so the chunks are taken here.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK_BYTES = 2**26
"""Memory for the float32 logits of a chunk: 333 labels of GPT-2's vocabulary."""
TOKENS_AT_ONCE = 2**13
CACHED_BYTES = 2**21
"""Of a chunk, the labels whose float32 logits stay in a core's second-level cache go together."""


class CrossEntropy(NamedTuple):
    """Sums over the labels of the same logits, in nats, each () float32."""

    smoothed: Tensor  # what is trained; differentiable
    unsmoothed: Tensor  # the negative log-likelihood, which compares with other smoothings


def linear_cross_entropy_sum(
    hidden: Tensor,
    head_weight: Tensor,
    targets: Tensor,
    label_smoothing: float = 0.0,
    factor: float = 1.0,
) -> Tensor:
    """Return the smoothed sum of `linear_cross_entropy`, which has the same arguments."""
    return linear_cross_entropy(hidden, head_weight, targets, label_smoothing, factor).smoothed


def linear_cross_entropy(
    hidden: Tensor,
    head_weight: Tensor,
    targets: Tensor,
    label_smoothing: float = 0.0,
    factor: float = 1.0,
) -> CrossEntropy:
    """Sum of (1 - ε)·(-log p[target]) + ε·mean over the vocabulary of (-log p), in nats.

    Here p = softmax(hidden @ head_weightᵀ), in float32 whatever the dtype of the product.

    Args:
        hidden: (labels, width).
        head_weight: (vocab, width).
        targets: (labels,) int64.
        label_smoothing: ε in 0..1.
        factor: what the caller will multiply the sum with before differentiating. It only decides
            where float32 rounds: 1 / labels gives a mean's gradient the rounding of a mean.

    Returns:
        The sum, and the one without smoothing; 0 where there are no labels. Differentiable once, in
        `hidden` and `head_weight`; the gradients are made in the forward pass, while the logits are
        there.
    """
    if not torch.is_grad_enabled():
        hidden, head_weight = hidden.detach(), head_weight.detach()
    sums = _ChunkedCrossEntropy.apply(hidden, head_weight, targets, label_smoothing, factor)
    return CrossEntropy(*sums)


class _ChunkedCrossEntropy(torch.autograd.Function):
    """With q = (1 - ε)·onehot(target) + ε / vocab, the loss is -Σ q·log p, its gradient p - q."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        head_weight: Tensor,
        targets: Tensor,
        label_smoothing: float,
        factor: float,
    ) -> tuple[Tensor, Tensor]:
        wants_hidden, wants_weight = ctx.needs_input_grad[:2]
        hidden_grad = torch.empty_like(hidden) if wants_hidden else None
        weight_grad = torch.zeros_like(head_weight) if wants_weight else None
        total, unsmoothed = hidden.new_zeros((2,), dtype=torch.float32).unbind()
        size = max(1, CHUNK_BYTES // (4 * len(head_weight)))
        for start in range(0, len(targets), size):
            chunk = slice(start, start + size)
            logits_grad = _project(hidden[chunk], head_weight)  # (chunk, vocab)
            for part, wanted in _cached_parts(logits_grad, targets[chunk]):
                precise = part.float()
                loss, plain = _to_gradient(precise, wanted, label_smoothing, factor)
                total, unsmoothed = total + loss, unsmoothed + plain
                if precise is not part:
                    part.copy_(precise)
            if hidden_grad is not None:
                hidden_grad[chunk] = _project_back(logits_grad, head_weight)
            if weight_grad is not None:
                weight_grad += logits_grad.T @ hidden[chunk]
        ctx.save_for_backward(hidden_grad, weight_grad)
        ctx.factor = factor
        ctx.mark_non_differentiable(unsmoothed)
        return total, unsmoothed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *total_grad: Tensor) -> tuple[Tensor | None, ...]:
        rest = total_grad[0] / ctx.factor
        scaled = [grad if grad is None else grad * rest for grad in ctx.saved_tensors]
        return *scaled, None, None, None


def _to_gradient(
    logits: Tensor, targets: Tensor, label_smoothing: float, factor: float
) -> tuple[Tensor, Tensor]:
    """Return the summed loss () and the unsmoothed one; `logits` become the former's gradient.

    It is multiplied by `factor`.
    """
    if label_smoothing:
        return _smoothed_to_gradient(logits, targets, label_smoothing, factor)
    logits -= logits.amax(1, keepdim=True)
    loss = -logits.gather(1, targets[:, None]).sum()
    # In place; torch's log_softmax takes three times as long. The largest logit is 0 now, so its
    # probability is the inverse of the normalizer.
    probabilities = torch.softmax(logits, dim=1, out=logits)
    loss -= probabilities.amax(1).log().sum()
    probabilities *= factor
    certain = torch.full_like(targets[:, None], -factor, dtype=logits.dtype)
    probabilities.scatter_add_(1, targets[:, None], certain)
    return loss, loss


def _smoothed_to_gradient(
    logits: Tensor, targets: Tensor, label_smoothing: float, factor: float
) -> tuple[Tensor, Tensor]:
    log_probabilities = torch.log_softmax(logits, dim=1)
    at_target = log_probabilities.gather(1, targets[:, None])  # (chunk, 1)
    unsmoothed = -at_target.sum()
    loss = (1 - label_smoothing) * unsmoothed
    loss -= label_smoothing * log_probabilities.mean(1).sum()
    smoothed = -factor * label_smoothing / logits.shape[1]
    wanted = torch.full_like(log_probabilities, smoothed)  # -factor·q
    peaks = torch.full_like(at_target, factor * (label_smoothing - 1))
    wanted.scatter_add_(1, targets[:, None], peaks)
    # Not p - q: torch's kernel is p·Σq - q, and over a whole vocabulary Σq is not 1 in float32,
    # which shows in the reference's gradients.
    torch._log_softmax_backward_data(wanted, log_probabilities, 1, torch.float32, out=logits)
    return loss, unsmoothed


def _cached_parts(logits: Tensor, targets: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Divide logits (labels, vocab) and their targets; on a GPU all are one part."""
    size = len(logits)
    if logits.device.type == "cpu":
        size = max(1, CACHED_BYTES // (4 * logits.shape[1]))
    return zip(logits.split(size), targets.split(size), strict=True)


def _project(hidden: Tensor, head_weight: Tensor) -> Tensor:
    """Return hidden @ head_weightᵀ, (labels, vocab), in the dtype of `hidden`."""
    if head_weight.dtype == hidden.dtype:
        return hidden @ head_weight.T
    logits = hidden.new_empty(len(hidden), len(head_weight))
    for part, columns in _converted_parts(head_weight, hidden.dtype):
        logits[:, columns] = hidden @ part.T
    return logits


def _project_back(logits_grad: Tensor, head_weight: Tensor) -> Tensor:
    """Return logits_grad @ head_weight, (labels, width) in the dtype of `logits_grad`."""
    if head_weight.dtype == logits_grad.dtype:
        return logits_grad @ head_weight
    hidden_grad = logits_grad.new_zeros(len(logits_grad), head_weight.shape[1])
    for part, columns in _converted_parts(head_weight, logits_grad.dtype):
        hidden_grad.addmm_(logits_grad[:, columns], part)
    return hidden_grad


def _converted_parts(head_weight: Tensor, dtype: torch.dtype) -> Iterator[tuple[Tensor, slice]]:
    """Convert the head part by part: a converted copy of the whole would be the largest tensor."""
    for start in range(0, len(head_weight), TOKENS_AT_ONCE):
        columns = slice(start, start + TOKENS_AT_ONCE)
        yield head_weight[columns].to(dtype), columns
