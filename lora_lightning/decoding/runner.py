"""Decoding contexts with a full batch: the finished ones leave it, waiting ones enter.

Contexts are sorted by length, so that a batch holds similar ones. What a context's text becomes
does not depend on the others.
"""

import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from lora_lightning.decoding.beam import (
    BeamState,
    advance,
    is_done,
    raise_if_broken,
    start,
    stop_proven,
)
from lora_lightning.decoding.cache import SharedPromptCache
from lora_lightning.decoding.captured import CapturedStep
from lora_lightning.decoding.hypotheses import Hypothesis, hypotheses_of
from lora_lightning.decoding.schedule import automatic_batch_size
from lora_lightning.decoding.settings import BeamSettings
from lora_lightning.decoding.shared_prompt import SharedPromptModel
from lora_lightning.errors import InputError
from lora_lightning.gpt2.packing import Packing

if TYPE_CHECKING:
    from transformers import PreTrainedModel

log = logging.getLogger(__name__)

STEPS_BETWEEN_CHECKS = {"cpu": 1, "cuda": 8}  # asking who is done makes a GPU wait for the host
ENTERING_SHARE = 4  # contexts enter when a quarter of the batch is vacant, read in one pass


def decode_contexts(
    model: "PreTrainedModel",
    queries: Sequence[list[int]],
    settings: BeamSettings,
    batch_size: int | Literal["auto"] = "auto",
    max_memory: int | None = None,
    packing: Packing = "auto",
) -> Iterator[tuple[int, list[Hypothesis]]]:
    """Decode queries; the results do not depend on the batch size or the order.

    Where memory runs out the batch is halved, and what was in it begins anew.

    Args:
        model: a causal language model such as GPT2LMHeadModel, LoRA merged; it stays as it is.
        queries: token ids, none empty, each with room for `max_new_tokens` before the model's
            last position.
        settings: how to search.
        batch_size: queries per batch; `auto`: see `automatic_batch_size`.
        max_memory: bytes for keys, values and logits under `auto`; None: what the device has.
        packing: whether the weights are laid out for the CPU's products.

    Yields:
        (index of the query, its hypotheses from best to worst), in the order in which they finish.

    Raises:
        InputError: a query is empty, an end token is not in the model's vocabulary, the batch
            size is below 1, or memory does not suffice for one query.
        NonFiniteLogitsError: the model's logits are NaN or infinite; names the query's index.
    """
    check_queries(model, queries, settings, batch_size)
    if not queries:
        return
    if batch_size == "auto":
        batch_size = automatic_batch_size(model, max(map(len, queries)), settings, max_memory)
    yield from search_all(SharedPromptModel(model, packing), queries, settings, batch_size)


def search_all(
    model: SharedPromptModel, queries: Sequence[list[int]], settings: BeamSettings, size: int
) -> Iterator[tuple[int, list[Hypothesis]]]:
    """Search for all queries, at most `size` at once; else as `decode_contexts`."""
    waiting = sorted(range(len(queries)), key=lambda index: len(queries[index]), reverse=True)
    while waiting:
        size = min(size, len(waiting))
        try:
            for index, found in Batch(model, queries, settings, size).decode(waiting):
                waiting = [other for other in waiting if other != index]
                yield index, found
        except RuntimeError as error:
            if not _is_out_of_memory(error):
                raise
            if size == 1:
                raise InputError("out of memory with one context at a time") from None
            size //= 2
            log.warning("out of memory: going on with generation.batch_size=%d", size)


def check_queries(
    model: "PreTrainedModel",
    queries: Sequence[list[int]],
    settings: BeamSettings,
    batch_size: int | Literal["auto"],
) -> None:
    """Check what `decode_contexts` is given.

    Raises:
        InputError: as there, but for memory.
    """
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


def _is_out_of_memory(error: RuntimeError) -> bool:
    """Whether memory ran out; on a CPU torch has no class of its own for it."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


class Batch:
    """Some contexts that are decoded together.

    Args:
        model: the model.
        queries: token ids of all contexts.
        settings: how to search.
        size: the most contexts at once.
    """

    def __init__(
        self,
        model: SharedPromptModel,
        queries: Sequence[list[int]],
        settings: BeamSettings,
        size: int,
    ) -> None:
        self.model = model
        self.queries = queries
        self.settings = settings
        self.size = size
        self.cache = SharedPromptCache(size, settings.num_beams, model.device)
        self.prompt_width = max(map(len, queries))
        self.state: BeamState | None = None
        self._captured: CapturedStep | None = None
        self._layout: tuple[int, int, torch.Size] | None = None  # what the step is recorded for

    @torch.inference_mode()
    def decode(self, waiting: list[int]) -> Iterator[tuple[int, list[Hypothesis]]]:
        """Decode the queries with these indices, in this order; yield each as it finishes."""
        while waiting or len(self):
            vacant = self.size - len(self)
            if waiting and vacant >= max(1, self.size // ENTERING_SHARE):
                self._enter(waiting[:vacant])
                waiting = waiting[vacant:]
            else:
                self._run()
            yield from self._leave()
            if not waiting and len(self) <= self.size // 2:
                self.size = max(1, len(self))  # the places at the end stay vacant

    def __len__(self) -> int:
        return 0 if self.state is None else len(self.state.query)

    def _enter(self, indices: list[int]) -> None:
        """Read the queries and search their first step, in which each is one row."""
        prompts = [self.queries[index] for index in indices]
        state = start(indices, prompts, self.settings, self.model.device, self.prompt_width)
        logits = self.model.read_prompts(state.query, prompts, self.cache, first=len(self))
        state, _ = advance(state, logits, self.settings)
        state = stop_proven(state, self.settings)
        self.state = state if self.state is None else self.state.join(state)

    def _leave(self) -> Iterator[tuple[int, list[Hypothesis]]]:
        """Yield the queries that are done, and close the ranks of the others."""
        assert self.state is not None
        raise_if_broken(self.state)
        done = is_done(self.state)
        is_leaving = done.tolist()
        if not any(is_leaving):
            return
        leaving = self.state.select(done)
        found = hypotheses_of(leaving.finished, self.settings)
        slots = _closed_ranks(is_leaving)
        self.cache.keep(slots)
        self.state = self.state.select(torch.tensor(slots, dtype=torch.int64, device=done.device))
        yield from zip(leaving.query.tolist(), found, strict=True)

    def _run(self) -> None:
        """Search on until the next look at who is done."""
        assert self.state is not None
        steps = STEPS_BETWEEN_CHECKS[self.model.device.type]
        if steps > 1 and self.model.is_recordable:
            self.state = self._run_captured(self.state, steps)
            return
        self.cache.reserve(len(self), steps)
        for _ in range(steps):
            self.state = self._step(self.state)

    def _run_captured(self, state: BeamState, steps: int) -> BeamState:
        """Search on by a recorded step, which has `size` rows; vacant ones hold a dead context."""
        contexts = torch.arange(len(state.query), device=state.query.device)
        rows = torch.arange(self.size, device=contexts.device)
        full = state.select(rows.clamp(max=len(contexts) - 1))
        full.scores[len(contexts) :] = -torch.inf
        self.cache.keep(range(len(contexts)))  # forgets what the dead ones wrote
        self.cache.reserve(self.size, steps)
        layout = (self.size, self.cache.reading, self.cache.visible.shape)
        if self._captured is None or layout != self._layout:
            self._captured, self._layout = CapturedStep(self._step, full), layout
        else:
            self._captured.load(full)
        return self._captured.run(steps).select(contexts)

    def _step(self, state: BeamState) -> BeamState:
        newest = _newest_tokens(state)
        logits = self.model.read_tokens(state.query, newest, state.step, self.cache)
        state, parents = advance(state, logits, self.settings)
        self.cache.reorder(parents)
        return stop_proven(state, self.settings)


def _newest_tokens(state: BeamState) -> Tensor:
    """Return the newest token of each beam, (batch, beam) int64."""
    place = (state.step - 1).view(-1, 1, 1).expand(-1, state.tokens.shape[1], 1)
    return state.tokens.gather(-1, place).squeeze(-1)


def _closed_ranks(is_leaving: list[bool]) -> list[int]:
    """Return which slot each of the first slots is to hold, as few as possible moving."""
    staying = [slot for slot, leaves in enumerate(is_leaving) if not leaves]
    from_behind = reversed(staying)
    return [next(from_behind) if is_leaving[slot] else slot for slot in range(len(staying))]
