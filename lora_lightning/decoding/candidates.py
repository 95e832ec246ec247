"""Which tokens come next: the likeliest of the vocabulary, or drawn ones, with their log p.

Shapes: batch = queries, beam = beams of each, vocab = the vocabulary.
"""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from lora_lightning.decoding.settings import Sampling
from lora_lightning.gpt2.precision import in_double

BLOCK = 64  # tokens of the vocabulary whose maximum is looked at first


def largest(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return values and tokens, each (batch, beam, count), of the largest values, sorted.

    The largest `count` are within the `count` blocks of the vocabulary that have the largest
    maxima; looking for these first reads everything once and sorts little. With GPT-2's vocabulary
    that takes a fifth of `topk`'s time on a CPU.

    Args:
        values: (batch, beam, vocab).
        count: at most vocab.
    """
    vocabulary = values.shape[-1]
    blocks = vocabulary // BLOCK
    if blocks <= 2 * count:
        return values.topk(count)
    whole = blocks * BLOCK
    maxima = values[..., :whole].unflatten(-1, (blocks, BLOCK)).amax(-1)
    first = maxima.topk(count).indices.unsqueeze(-1) * BLOCK  # (batch, beam, count, 1)
    inside = (first + torch.arange(BLOCK, device=values.device)).flatten(-2)
    behind = torch.arange(whole, vocabulary, device=values.device)  # what fills no block
    tokens = torch.cat([inside, behind.expand(*values.shape[:-1], -1)], dim=-1)
    kept, places = values.gather(-1, tokens).topk(count)
    return kept, tokens.gather(-1, places)


def log_softmax_(logits: Tensor) -> Tensor:
    """Turn (batch, beam, vocab) fp32 logits into log p, in place; NaN where every token is banned.

    By torch's softmax, as in the reference: on a CPU its fp32 sum over a vocabulary is a little
    off (up to 1e-5 a token), and so are the scores that ours are compared with.
    """
    return torch.log_softmax(logits, -1, out=logits)


def log_probability(log_p: Tensor, tokens: Tensor) -> Tensor:
    """Return log p, at most 0, of some tokens; −inf where every token is banned.

    Args:
        log_p: (batch, beam, vocab), from `log_softmax_`.
        tokens: (batch, beam, any) int64.
    """
    # Rounding must not make a probability exceed one: the early stop counts on falling sums.
    return log_p.gather(-1, tokens).nan_to_num(nan=-torch.inf, neginf=-torch.inf).clamp(max=0)


def draw(logits: Tensor, uniform: Tensor, sampling: Sampling) -> Tensor:
    """Return drawn tokens, (batch, beam) int64.

    Args:
        logits: (batch, beam, vocab) fp32; −inf is an impossible token.
        uniform: (batch, beam) in [0, 1), the random number of each draw.
        sampling: what is drawn from.
    """
    tokens = None
    if sampling.top_k > 0:
        logits, tokens = largest(logits, min(sampling.top_k, logits.shape[-1]))
    elif sampling.top_p < 1:
        logits, tokens = logits.sort(dim=-1, descending=True)
    # In double precision the sum over a vocabulary keeps the order of its smallest parts.
    probabilities = in_double((logits / sampling.temperature).softmax(-1))
    if sampling.top_p < 1:
        before = probabilities.cumsum(-1) - probabilities
        probabilities = probabilities.masked_fill(before >= sampling.top_p, 0)
    sums = probabilities.cumsum(-1)
    goal = in_double(uniform).unsqueeze(-1) * sums[..., -1:]
    places = torch.searchsorted(sums, goal, right=True).clamp(max=sums.shape[-1] - 1)
    return (places if tokens is None else tokens.gather(-1, places)).squeeze(-1)


def random_numbers(
    prompts: Sequence[Sequence[int]], shape: tuple[int, int], sampling: Sampling
) -> Tensor:
    """Return numbers in [0, 1), (batch, *shape) fp32, that depend on seed and prompt alone."""
    numbers = []
    for prompt in prompts:
        key = hashlib.sha256(f"{sampling.seed} {list(prompt)}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(key[:8]) >> 1)
        numbers.append(torch.rand(shape, generator=generator))
    return torch.stack(numbers)
