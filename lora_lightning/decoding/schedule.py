"""Which contexts are decoded together, and by whom."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from lora_lightning.decoding.settings import BeamSettings

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CPU_MEMORY = 4 * 2**30
"""Bytes for cache and logits on a CPU where `generation.max_memory` does not say."""
GPU_SHARE = 0.8
"""The share of a GPU's free memory that they may take."""
LOGITS_BYTES = {"cpu": 31 * 2**20, "cuda": 2**29}
"""The most bytes of fp32 logits in a step. On a CPU more rows save no time, and beyond 32 MiB the
allocator would fetch new pages from the system at each step; on a GPU they fill it."""


def automatic_batch_size(
    model: "PreTrainedModel", length: int, settings: BeamSettings, max_memory: int | None
) -> int:
    """Return how many queries of at most `length` tokens to decode at once, at least 1.

    Args:
        model: the model, on its device.
        length: tokens of the longest query.
        settings: how to search.
        max_memory: bytes that the keys and values and the logits of a batch may take; None: what
            the device has.
    """
    if max_memory is None:
        max_memory = CPU_MEMORY
        if model.device.type == "cuda":
            max_memory = int(GPU_SHARE * torch.cuda.mem_get_info(model.device)[0])
    vocabulary = model.config.vocab_size
    # Logits in the model's precision and in fp32, and what the sum over the vocabulary takes.
    logits = settings.num_beams * vocabulary * (model.dtype.itemsize + 4 + 4)
    entries = length + settings.num_beams * settings.max_new_tokens  # no beam shares a token
    batch = max_memory // (entries * entry_bytes(model) + logits)
    step = LOGITS_BYTES.get(model.device.type, LOGITS_BYTES["cuda"])
    return max(1, min(batch, step // (4 * vocabulary * settings.num_beams)))


def entry_bytes(model: "PreTrainedModel") -> int:
    """Return the bytes of one token's keys and values in all layers."""
    config = model.config
    return 2 * config.num_hidden_layers * config.hidden_size * model.dtype.itemsize


def expected_cost(length: int, settings: BeamSettings) -> int:
    """Return the tokens that a model will probably run for a query of `length` tokens.

    The prompt is read once. In data-to-text a longer context has a longer text, of about as many
    tokens, and each costs K.
    """
    return length + settings.num_beams * min(length, settings.max_new_tokens)


def divide(costs: Sequence[int], parts: int) -> list[list[int]]:
    """Divide items among parts whose summed costs differ little.

    Each item goes to the part with the least so far, the expensive ones first. Every process that
    computes this comes to the same result.

    Args:
        costs: of each item.
        parts: at least 1; there may be more than items.

    Returns:
        The items' indices of each part, expensive ones first.
    """
    shares: list[list[int]] = [[] for _ in range(parts)]
    loads = [0] * parts
    for index in sorted(range(len(costs)), key=lambda index: -costs[index]):
        least = loads.index(min(loads))
        shares[least].append(index)
        loads[least] += costs[index]
    return shares
