"""Beam search over a causal language model of transformers.

Each query is run through the model once; its keys and values are then expanded to the beams. A
step runs one token per beam. Queries are sorted by length, so that a batch holds similar ones,
and leave the batch when they are done.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor
from transformers import PreTrainedModel

from lora_lightning.decoding.beam import (
    BeamSettings,
    Hypothesis,
    advance,
    hypotheses,
    is_done,
    start,
)
from lora_lightning.decoding.cache import BeamCache
from lora_lightning.errors import InputError

AUTO_MEMORY = 4 * 2**30
"""Bytes that cache and logits of a batch may take under `batch_size="auto"`."""
AUTO_BEAMS = 160
"""The most beams of a batch under `batch_size="auto"` on a CPU: there more save no time, and with
GPT-2's vocabulary their logits outgrow what the allocator keeps, so that each step would pay for
new pages."""


def decode_contexts(
    model: PreTrainedModel,
    queries: Sequence[list[int]],
    settings: BeamSettings,
    batch_size: int | Literal["auto"],
) -> Iterator[tuple[int, list[Hypothesis]]]:
    """Decode queries; the results do not depend on the batch size or the order.

    Args:
        model: a causal language model such as GPT2LMHeadModel, LoRA merged; it is put into
            evaluation mode.
        queries: token ids, none empty, each with room for `max_new_tokens` before the model's
            last position.
        settings: how to search.
        batch_size: queries per batch. `auto`: see `automatic_batch_size`.

    Yields:
        (index of the query, its hypotheses from best to worst), in the order in which they finish.

    Raises:
        InputError: a query is empty, an end token is not in the model's vocabulary, or the batch
            size is below 1.
        NonFiniteLogitsError: the model's logits are NaN or infinite; names the query's index.
    """
    _check(model, queries, settings, batch_size)
    model.eval()
    waiting = sorted(range(len(queries)), key=lambda index: len(queries[index]), reverse=True)
    while waiting:
        size = (
            automatic_batch_size(model, len(queries[waiting[0]]), settings)
            if batch_size == "auto"
            else batch_size
        )
        batch, waiting = waiting[:size], waiting[size:]
        yield from _decode_batch(model, batch, [queries[index] for index in batch], settings)


def automatic_batch_size(model: PreTrainedModel, length: int, settings: BeamSettings) -> int:
    """Return how many queries of at most `length` tokens to decode at once, at least 1.

    As many as fit `AUTO_MEMORY`, and on a CPU no more than `AUTO_BEAMS` beams. A beam takes keys
    and values of all its positions in the model's precision, and logits, their fp32 copy and
    their log-softmax.
    """
    config = model.config
    positions = length + settings.max_new_tokens
    cache = 2 * config.num_hidden_layers * config.hidden_size * positions * model.dtype.itemsize
    beam = cache + 3 * 4 * config.vocab_size
    beams = AUTO_MEMORY // beam
    if model.device.type == "cpu":
        beams = min(beams, AUTO_BEAMS)
    return max(1, beams // settings.num_beams)


def _check(
    model: PreTrainedModel,
    queries: Sequence[list[int]],
    settings: BeamSettings,
    batch_size: int | Literal["auto"],
) -> None:
    if batch_size != "auto" and batch_size < 1:
        raise InputError(f"generation.batch_size={batch_size}: must be auto or at least 1")
    vocabulary = model.config.vocab_size
    for token in settings.end_token_ids:
        if not 0 <= token < vocabulary:
            raise InputError(
                f"generation.eos_token_ids: {token} is not in the vocabulary of {vocabulary} tokens"
            )
    for index, query in enumerate(queries):
        if not query:
            raise InputError(f"query {index} has no tokens; a context needs its end token at least")


@torch.inference_mode()
def _decode_batch(
    model: PreTrainedModel,
    indices: list[int],
    queries: list[list[int]],
    settings: BeamSettings,
) -> Iterator[tuple[int, list[Hypothesis]]]:
    logits, cache = _prefill(model, queries, settings)
    state = start(indices, queries, settings, logits.device)
    while True:
        state, parents = advance(state, logits, settings)
        done = is_done(state, settings)
        if done.any():
            leaving = state.select(done)
            yield from zip(leaving.query.tolist(), hypotheses(leaving, settings), strict=True)
            state = state.select(~done)
        if not len(state.query):
            return
        first = torch.arange(len(parents), device=parents.device) * settings.num_beams
        cache.reorder((first.unsqueeze(1) + parents)[~done].flatten())
        logits = _next_logits(model, state.tokens[..., -1], cache)


def _prefill(
    model: PreTrainedModel, queries: list[list[int]], settings: BeamSettings
) -> tuple[Tensor, BeamCache]:
    """Run the prompts; return the logits (batch, 1, vocab) of their last tokens, and the cache."""
    lengths = torch.tensor([len(query) for query in queries], device=model.device)
    longest = int(lengths.max())
    padded = [query + [0] * (longest - len(query)) for query in queries]
    tokens = torch.tensor(padded, device=model.device)  # (batch, longest)
    # Padding stands on the right, where causality hides it: nothing needs to be masked.
    output = model.base_model(tokens, attention_mask=torch.ones_like(tokens), use_cache=True)
    rows = torch.arange(len(queries), device=model.device)
    last = output.last_hidden_state[rows, lengths - 1]  # (batch, hidden)
    prompt = torch.stack(
        [torch.stack([layer.keys, layer.values]) for layer in output.past_key_values.layers]
    )
    cache = BeamCache(prompt, lengths, settings.num_beams, room=settings.max_new_tokens - 1)
    return model.get_output_embeddings()(last).unsqueeze(1), cache


def _next_logits(model: PreTrainedModel, newest: Tensor, cache: BeamCache) -> Tensor:
    """Run one token per beam, (batch, beam) int64; return the logits (batch, beam, vocab)."""
    logits = model(
        newest.reshape(-1, 1),
        position_ids=(cache.prompt_length + cache.step).unsqueeze(1),
        attention_mask=cache.mask[..., : cache.get_seq_length() + 1],
        past_key_values=cache,
        use_cache=True,
    ).logits
    cache.step += 1
    return logits.view(*newest.shape, -1)
