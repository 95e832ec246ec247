"""How much memory training will take at its peak, by formula."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import GPT2LMHeadModel

from lora_lightning.gpt2.forward import Execution
from lora_lightning.gpt2.precision import compute_dtype
from lora_lightning.training.cross_entropy import CHUNK_BYTES
from lora_lightning.training.parts import largest_part


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes at the peak of a training step.

    Attributes:
        weights: all parameters.
        training: gradients and the optimizer's two moments of the trainable ones.
        activations: what the backward pass needs of what is computed at once of the largest
            micro-batch, and the loss's chunk.
        tokens: computed at once.
    """

    weights: int
    training: int
    activations: int
    tokens: int

    @property
    def peak(self) -> int:
        """Sum of all."""
        return self.weights + self.training + self.activations


def estimate_memory(
    model: GPT2LMHeadModel, lengths: Sequence[int], execution: Execution, device: torch.device
) -> MemoryEstimate:
    """Estimate the peak of a training step.

    Args:
        model: a method applied.
        lengths: tokens of each row of the largest micro-batch.
        execution: how the blocks will run.
        device: where the model will train.
    """
    lengths = largest_part(lengths, device)
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    width = model.config.n_embd
    number_size = compute_dtype(model.dtype, device).itemsize
    layers = model.config.n_layer
    tokens, block = sum(lengths), _kept_by_block(model, lengths, device) * number_size
    if execution.gradient_checkpointing:
        activations = block + layers * tokens * width * number_size
    else:
        activations = layers * block
    activations += tokens * width * number_size  # what the last layer norm keeps
    return MemoryEstimate(
        weights=sum(p.numel() * p.element_size() for p in model.parameters()),
        training=3 * 4 * trainable,
        activations=activations + 2 * min(CHUNK_BYTES, 4 * model.config.vocab_size * tokens),
        tokens=tokens,
    )


def _kept_by_block(model: GPT2LMHeadModel, lengths: Sequence[int], device: torch.device) -> int:
    """Return how many numbers a block keeps for its backward pass.

    A token's two residual streams, the projection's input as LoRA sees it, with its mask, and
    queries, keys and values (6 and a quarter widths), what attention gathered (1), the MLP's inner
    features (4). A CPU also keeps the attention weights.
    """
    config = model.config
    kept = int(sum(lengths) * 11.25 * config.n_embd)
    if device.type == "cpu":
        kept += config.n_head * sum(length * length for length in lengths)
    return kept
