"""The arithmetic of the released LoRA code, on the weights of transformers' GPT-2.

All rows padded to 512 tokens, attention and softmax materialised, layer norm and activation spelled
out, a dense LoRA delta multiplied with every position, logits of every position. In our own words;
what the released loop does beside the step (logging, data loading) is left out.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import GPT2LMHeadModel

from benchmarks.training_contenders import ALPHA, DROPOUT, RANK, Contender
from benchmarks.training_rows import RowIds

LENGTH = 512
LABEL_SMOOTHING = 0.1


class ReferenceArithmetic(Contender):
    """LoRA on q and v as the reference computes it."""

    def build(self, base: GPT2LMHeadModel) -> None:
        """Keep the base as it is, and the adapters beside it."""
        base.requires_grad_(False)
        self.model, width = base, base.config.n_embd
        self.down = nn.ParameterList()
        self.up = nn.ParameterList()
        for _ in base.transformer.h:
            down = torch.empty(2 * RANK, width, device=self.device, dtype=base.dtype)
            self.down.append(nn.Parameter(nn.init.kaiming_uniform_(down, a=math.sqrt(5))))
            self.up.append(nn.Parameter(down.new_zeros(2 * width, RANK)))
        base.adapters = nn.ModuleList([self.down, self.up])
        # Its lower triangle is 1: what a position may look at.
        self.visible = torch.ones(LENGTH, LENGTH, device=self.device, dtype=base.dtype).tril()

    def batch(self, rows: list[RowIds]) -> Any:
        """Pad to 512 ids; the mask is 1 where the target is a completion id."""
        ids = torch.zeros(len(rows), LENGTH + 1, dtype=torch.int64)
        mask = torch.zeros(len(rows), LENGTH)
        for i, (context, completion) in enumerate(rows):
            length = len(context) + len(completion)
            ids[i, :length] = torch.tensor(context + completion)
            mask[i, len(context) - 1 : length - 1] = 1
        return ids[:, :-1].to(self.device), ids[:, 1:].to(self.device), mask.to(self.device)

    def loss(self, batch: Any) -> Tensor:
        """Masked mean of the smoothed cross-entropy of all positions."""
        ids, targets, mask = batch
        transformer = self.model.transformer
        hidden = transformer.wte(ids) + transformer.wpe.weight[:LENGTH]
        for block, down, up in zip(transformer.h, self.down, self.up, strict=True):
            hidden = hidden + self._attention(block.attn, down, up, _norm(block.ln_1, hidden))
            inner = _gelu(block.mlp.c_fc(_norm(block.ln_2, hidden)))
            hidden = hidden + block.mlp.c_proj(inner)
        logits = functional.linear(_norm(transformer.ln_f, hidden), transformer.wte.weight)
        log_probability = functional.log_softmax(logits.view(-1, logits.shape[-1]), dim=-1)
        at_target = -log_probability.gather(1, targets.reshape(-1, 1))[:, 0]
        uniform = -log_probability.mean(-1)
        each = (1 - LABEL_SMOOTHING) * at_target + LABEL_SMOOTHING * uniform
        return (each * mask.view(-1)).sum() / (mask.sum() + 1e-4)

    def _attention(self, attention: Any, down: Tensor, up: Tensor, x: Tensor) -> Tensor:
        fused = attention.c_attn(x) + self._update(down, up, x)
        heads = attention.num_heads
        query, key, value = (
            part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in fused.chunk(3, dim=-1)
        )
        scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
        scores = scores * self.visible - 1e4 * (1 - self.visible)
        gathered = functional.softmax(scores, dim=-1) @ value
        return attention.c_proj(gathered.transpose(1, 2).flatten(2))

    def _update(self, down: Tensor, up: Tensor, x: Tensor) -> Tensor:
        """The dense delta of all three slices, (3 · width, width), times every position."""
        width = x.shape[-1]
        delta = functional.conv1d(down.unsqueeze(0), up.unsqueeze(-1), groups=2)[0]
        dense = delta.new_zeros(3 * width, width)
        dense[:width], dense[2 * width :] = delta[:width], delta[width:]
        return ALPHA / RANK * (functional.dropout(x, DROPOUT) @ dense.T)


def _norm(norm: nn.LayerNorm, x: Tensor) -> Tensor:
    mean = x.mean(-1, keepdim=True)
    variance = (x - mean).pow(2).mean(-1, keepdim=True)
    return norm.weight * ((x - mean) / torch.sqrt(variance + norm.eps)) + norm.bias


def _gelu(x: Tensor) -> Tensor:
    inner = math.sqrt(2 / math.pi) * (x + 0.044715 * torch.pow(x, 3))
    return 0.5 * x * (1 + torch.tanh(inner))
