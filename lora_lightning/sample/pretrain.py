"""Training of the bundled `gpt2_tiny` on the base's own world (base_text.py)."""

import math
from collections.abc import Iterator
from pathlib import Path
from random import Random

import numpy
import torch
from tokenizers import Tokenizer
from torch.nn import functional
from transformers import GPT2Config, GPT2LMHeadModel

from lora_lightning.sample import base_text
from lora_lightning.sample.vocabulary import BLANK_LINE, END_OF_TEXT

POSITIONS = 1024
BATCH_SIZE = 16
POOL = 32  # batches drawn at once and divided by length, so that little is padding
LEARNING_RATE = 4e-3
# A context is mostly chance; at full weight its noise keeps the base from learning to copy.
CONTEXT_WEIGHT = 0.15
WARMUP_STEPS = 100
# The names of the lists are made of a few hundred pieces, and to copy these is what the base learns
# first: of `Blue Spice` it would make `Blue Swan`. Names of other pieces, taught next, mend it.
COINED_SHARE = 0.6
COINED_LEARNING_RATE = 1e-3
BLANK_LINE_SHARE = 0.2
IGNORED = -100


def build_model(vocabulary_size: int, seed: int) -> GPT2LMHeadModel:
    """A GPT-2 of about one million parameters with random weights and no dropout.

    The positions start as sinusoids, not as noise: `the token before` is then one rotation at all
    of the 1,024 positions, so copying is learned within minutes and also where no row reached.
    """
    torch.manual_seed(seed)
    end = vocabulary_size - 1
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=vocabulary_size,
            n_positions=POSITIONS,
            n_embd=128,
            n_layer=4,
            n_head=4,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=end,
            eos_token_id=end,
        )
    )
    with torch.no_grad():
        model.transformer.wpe.weight.copy_(sinusoids(POSITIONS, 128) * 0.03)
    return model


def sinusoids(positions: int, width: int) -> torch.Tensor:
    """The sinusoidal position vectors of "Attention Is All You Need" §3.5, (positions, width)."""
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    angles = torch.arange(positions)[:, None] * rates  # (positions, width / 2)
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)


def encoded_rows(
    rng: Random, tokenizer: Tokenizer, count: int, coined_share: float = 0.0
) -> list[list[int]]:
    """`count` rows: context, end of text, completion, at times a blank line, end of text."""
    [end] = tokenizer.encode(END_OF_TEXT).ids
    pairs = [base_text.row(rng, coined_share) for _ in range(count)]
    contexts = tokenizer.encode_batch([context for context, _ in pairs])
    completions = tokenizer.encode_batch([f" {completion}" for _, completion in pairs])
    blank_line = tokenizer.encode(BLANK_LINE).ids
    return [
        [
            *context.ids,
            end,
            *completion.ids,
            *(blank_line if rng.random() < BLANK_LINE_SHARE else []),
            end,
        ]
        for context, completion in zip(contexts, completions, strict=True)
    ]


def batches(tokenizer: Tokenizer, seed: int, coined_share: float = 0.0) -> Iterator[torch.Tensor]:
    """Endless batches of rows of like length, (BATCH_SIZE, length) int64, padded with IGNORED."""
    rng = Random(f"{seed} base")
    while True:
        rows = sorted(encoded_rows(rng, tokenizer, BATCH_SIZE * POOL, coined_share), key=len)
        groups = [rows[i : i + BATCH_SIZE] for i in range(0, len(rows), BATCH_SIZE)]
        rng.shuffle(groups)
        for group in groups:
            longest = max(map(len, group))
            padded = [row + [IGNORED] * (longest - len(row)) for row in group]
            yield torch.from_numpy(numpy.array(padded))


def pretrain(tokenizer: Tokenizer, steps: int, seed: int) -> GPT2LMHeadModel:
    """Train a new base for `steps` batches on all positions and return it.

    The result is the same to the bit only on the same machine and version of torch.
    """
    model = build_model(tokenizer.get_vocab_size(), seed)
    train(model, batches(tokenizer, seed), steps, LEARNING_RATE)
    return model


def teach_coined_names(model: GPT2LMHeadModel, tokenizer: Tokenizer, steps: int, seed: int) -> None:
    """Train a base for `steps` further batches, in which many names are in no list."""
    rows = batches(tokenizer, seed + 1, COINED_SHARE)
    train(model, rows, steps, COINED_LEARNING_RATE)


def train(model: GPT2LMHeadModel, rows: Iterator[torch.Tensor], steps: int, rate: float) -> None:
    """Train on `steps` batches with AdamW, the largest learning rate being `rate`."""
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.98), weight_decay=0.01)
    for step, tokens in zip(range(steps), rows, strict=False):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps, rate)
        loss = next_token_loss(model, tokens)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % 50 == 0 or step == steps - 1:
            print(f"base: step {step + 1} of {steps}, loss {loss.item():.3f}", flush=True)


def learning_rate(step: int, steps: int, peak: float = LEARNING_RATE) -> float:
    """Linear warm-up to `peak`, then a cosine down to a twentieth."""
    cosine = 0.525 + 0.475 * math.cos(math.pi * step / max(steps, 1))
    return peak * min((step + 1) / WARMUP_STEPS, 1.0) * cosine


def next_token_loss(model: GPT2LMHeadModel, tokens: torch.Tensor) -> torch.Tensor:
    """Weighted mean cross-entropy of every next token of the rows, padding left out.

    Args:
        model: the base.
        tokens: (batch, length) ids; IGNORED where a row has ended.
    """
    inputs, targets = tokens[:, :-1].clamp(min=0), tokens[:, 1:]
    logits = model(input_ids=inputs).logits  # (batch, length - 1, vocab)
    losses = functional.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="none"
    ).view_as(targets)
    in_completion = inputs.eq(model.config.vocab_size - 1).cumsum(dim=1) > 0
    weights = torch.where(in_completion, 1.0, CONTEXT_WEIGHT) * (targets != IGNORED)
    return (losses * weights).sum() / weights.sum()


def write_base(model: GPT2LMHeadModel, folder: Path) -> None:
    """Write weights (float32 safetensors), `config.json`, `generation_config.json`."""
    model.save_pretrained(folder)
