"""Beam search as pure functions: logits in, next beams out; it knows no model.

The semantics are the reference's at batch size 1, for every batch size (microsoft/LoRA,
examples/NLG; the paper's section on generation): K candidates are kept at each step, not 2K; a
beam that ends uses up its slot in that step; the slot is refilled by continuations of live beams;
the search runs to the limit. Ours stops a query earlier, but only when it is proven that going on
cannot change the answer (`stop_proven`).

    state = start(...)
    while queries are left:
        state, parents = advance(state, logits, settings)
        state = stop_proven(state, settings)
        finished queries = is_done(state)

Queries of a batch may stand at different steps. No function here looks at a value, so none waits
for a GPU; the caller asks `is_done` and `raise_if_broken` when it likes.

Shapes: batch = queries, beam = K = `num_beams` (1 before the first step), limit = the settings'
`max_new_tokens`.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from lora_lightning.decoding.candidates import (
    draw,
    largest,
    log_probability,
    log_softmax_,
    random_numbers,
)
from lora_lightning.decoding.constraints import constrain
from lora_lightning.decoding.hypotheses import Finished, keep_best, no_hypotheses, score
from lora_lightning.decoding.settings import BeamSettings
from lora_lightning.errors import InputError


class BeamState(NamedTuple):
    """All that the search knows between two steps.

    Attributes:
        query: (batch,) int64, the caller's number of each query.
        prompt: (batch, prompt) int64, padded with −1 on the left; of width 0 unless n-grams of the
            prompt count.
        draws: (batch, K, limit) fp32, the random numbers of sampling; of width 0 without.
        step: (batch,) int64, tokens generated so far.
        broken: (batch,) int64, the first step at which the model's logits were NaN or +inf; −1
            while they are numbers.
        tokens: (batch, beam, limit) int64, −1 behind the generated ones.
        token_log_probabilities: (batch, beam, limit) fp32, log p of each token.
        scores: (batch, beam) fp32, sum of log p; −inf marks a dead beam, one that has ended.
        finished: the finished hypotheses.
    """

    query: Tensor
    prompt: Tensor
    draws: Tensor
    step: Tensor
    broken: Tensor
    tokens: Tensor
    token_log_probabilities: Tensor
    scores: Tensor
    finished: Finished

    def tensors(self) -> list[Tensor]:
        """Return all tensors, those of the finished hypotheses last."""
        *search, finished = self
        return [*search, *finished]

    @staticmethod
    def of(tensors: Iterable[Tensor]) -> "BeamState":
        """Return the state that has these `tensors()`."""
        values = list(tensors)
        kept = len(Finished._fields)
        return BeamState._make([*values[:-kept], Finished._make(values[-kept:])])

    def select(self, rows: Tensor) -> "BeamState":
        """Return the state of some queries; `rows` is an index or a mask over the batch."""
        return BeamState.of(field[rows] for field in self.tensors())

    def join(self, other: "BeamState") -> "BeamState":
        """Return the state of these queries and then the other's."""
        return BeamState.of(map(torch.cat, zip(self.tensors(), other.tensors(), strict=True)))


class NonFiniteLogitsError(InputError):
    """The model's output is no distribution: it holds NaN or +inf.

    Attributes:
        query: the query's number.
        step: tokens generated before, from 0.
    """

    reason = "the model's logits are NaN or infinite; check the weights, or use model.dtype=float32"

    def __init__(self, query: int, step: int) -> None:
        super().__init__(f"query {query}, step {step}: {self.reason}")
        self.query, self.step = query, step


def start(
    queries: Sequence[int],
    prompts: Sequence[Sequence[int]],
    settings: BeamSettings,
    device: torch.device,
    prompt_width: int | None = None,
) -> BeamState:
    """Return the state before the first step: one empty beam per query.

    Args:
        queries: a number for each query, for results and messages.
        prompts: the token ids of each query.
        settings: how to search.
        device: where the search runs.
        prompt_width: width of `BeamState.prompt`; default the longest prompt's. States of one
            width can be joined.
    """
    batch, limit = len(queries), settings.max_new_tokens
    width = 0
    if settings.no_repeat_ngram_size > 0 and settings.no_repeat_ngram_scope == "full":
        width = prompt_width or max(map(len, prompts))
    padded = [[-1] * (width - len(ids)) + list(ids)[:width] for ids in prompts]
    shape = (settings.num_beams, limit)
    state = BeamState(
        query=torch.tensor(queries),
        prompt=torch.tensor(padded, dtype=torch.int64).view(batch, width),
        draws=random_numbers(prompts, shape, settings.sampling)
        if settings.sampling
        else torch.zeros(batch, 0, 0),
        step=torch.zeros(batch, dtype=torch.int64),
        broken=torch.full((batch,), -1),
        tokens=torch.full((batch, 1, limit), -1),
        token_log_probabilities=torch.zeros(batch, 1, limit),
        scores=torch.zeros(batch, 1),
        finished=no_hypotheses(batch, settings),
    )
    return BeamState.of(field.to(device) for field in state.tensors())


def advance(state: BeamState, logits: Tensor, settings: BeamSettings) -> tuple[BeamState, Tensor]:
    """Search one step.

    Args:
        state: the state before the step.
        logits: (batch, beam, vocab), the model's output for each beam; changed in place.
            −inf is an impossible token.
        settings: how to search.

    Returns:
        The state after the step, with K beams sorted from best to worst (ended ones dead), and
        (batch, K) int64, the beam that each new beam goes on from.
    """
    logits = logits.float()  # scores are made in fp32 whatever the model's precision
    constrain(logits, state.prompt, state.tokens, settings)
    choose = _drawn if settings.sampling else _best
    parents, newest, log_p, largest_logit = choose(state, logits, settings)
    is_broken = (~(largest_logit < torch.inf) & (state.scores > -torch.inf)).any(-1)

    limit = settings.max_new_tokens
    place = state.step.clamp(max=limit - 1).view(-1, 1, 1).expand(-1, settings.num_beams, 1)
    family = parents.unsqueeze(-1).expand(-1, -1, limit)
    history = state.tokens.gather(1, family)  # (batch, K, limit)
    log_p_history = state.token_log_probabilities.gather(1, family)
    moved = state._replace(
        step=(state.step + 1).clamp(max=limit),
        broken=torch.where(is_broken & (state.broken < 0), state.step, state.broken),
        tokens=history.scatter(-1, place, newest.unsqueeze(-1)),
        token_log_probabilities=log_p_history.scatter(-1, place, log_p.unsqueeze(-1)),
        scores=state.scores.gather(1, parents) + log_p,
    )
    return _finish(moved, newest, settings), parents


class Continuations(NamedTuple):
    """How a query's K beams go on.

    Attributes:
        parents: (batch, K) int64, the beam that each new beam goes on from.
        tokens: (batch, K) int64, its new token.
        log_p: (batch, K) fp32, that token's log p; −inf where there is no such beam.
        largest_logit: (batch, beam) fp32, of each old beam: NaN or +inf where its logits are no
            numbers, −inf where every token is banned.
    """

    parents: Tensor
    tokens: Tensor
    log_p: Tensor
    largest_logit: Tensor


def _best(state: BeamState, logits: Tensor, settings: BeamSettings) -> Continuations:
    """Return the K best continuations of each query, sorted.

    They are among the best K of each of its beams: looking there first saves writing the sums
    over the whole vocabulary. Where there are fewer, −inf fills up.
    """
    width = min(settings.num_beams, logits.shape[-1])
    values, tokens = largest(logits, width)  # (batch, beam, width)
    log_p = log_probability(log_softmax_(logits), tokens)
    sums = (state.scores.unsqueeze(-1) + log_p).flatten(1)  # (batch, beam · width)
    missing = (0, max(0, settings.num_beams - sums.shape[1]))
    places = pad(sums, missing, value=-torch.inf).topk(settings.num_beams).indices
    return Continuations(
        parents=(places // width).clamp(max=state.scores.shape[1] - 1),
        tokens=pad(tokens.flatten(1), missing).gather(1, places),
        log_p=pad(log_p.flatten(1), missing, value=-torch.inf).gather(1, places),
        largest_logit=values[..., 0],
    )


def _drawn(state: BeamState, logits: Tensor, settings: BeamSettings) -> Continuations:
    """Return one drawn token for each of K texts, which goes on from itself."""
    assert settings.sampling is not None
    batch, beams, _ = logits.shape
    texts = torch.arange(settings.num_beams, device=logits.device)
    step = state.step.clamp(max=settings.max_new_tokens - 1)
    uniform = state.draws.gather(-1, step.view(-1, 1, 1).expand(-1, settings.num_beams, 1))
    shape = (-1, settings.num_beams, -1)  # in the first step all draw from one row
    tokens = draw(logits.expand(shape), uniform.squeeze(-1), settings.sampling)
    largest_logit = logits.amax(-1)
    log_p = log_probability(log_softmax_(logits).expand(shape), tokens.unsqueeze(-1))
    return Continuations(
        parents=texts.clamp(max=beams - 1).expand(batch, -1),
        tokens=tokens,
        log_p=log_p.squeeze(-1),
        largest_logit=largest_logit,
    )


def _finish(state: BeamState, newest: Tensor, settings: BeamSettings) -> BeamState:
    """Let beams end: with an end token, and at the limit all of them."""
    ended = torch.zeros_like(newest, dtype=torch.bool)
    for token in settings.end_token_ids:
        ended = ended | (newest == token)
    at_limit = (state.step == settings.max_new_tokens).unsqueeze(1)
    dead = state.scores.masked_fill(ended, -torch.inf)
    finished = state.finished
    # In this order as in the reference, where it decides between equal scores.
    for sums in (
        state.scores.masked_fill(~ended, -torch.inf),
        dead.masked_fill(~at_limit, -torch.inf),
    ):
        length = state.step.unsqueeze(1).expand_as(newest)
        scores = score(sums, state.step, settings.length_penalty)
        added = Finished(state.tokens, state.token_log_probabilities, sums, length, scores)
        finished = keep_best(finished, added)
    return state._replace(scores=dead, finished=finished)


def stop_proven(state: BeamState, settings: BeamSettings) -> BeamState:
    """Kill the beams of each query whose best `num_return` hypotheses no beam can change any more.

    The sum of a live beam, s ≤ 0, can only fall. A hypothesis that comes of it has a length L from
    step + 1 to the limit, so its score is at most s / L^p for one of them; L^p is monotone in L
    for either sign of p, so the largest is at one of the two ends. Rounding keeps this order,
    since bound and scores are computed by the same operations, each of them monotone.

    Drawn texts end only by themselves.
    """
    best = state.scores.amax(dim=1, keepdim=True)
    stops = (state.step == settings.max_new_tokens).unsqueeze(1)
    if settings.sampling is None:
        limit = torch.full_like(state.step, settings.max_new_tokens)
        bound = torch.maximum(
            score(best, state.step + 1, settings.length_penalty),
            score(best, limit, settings.length_penalty),
        )
        last_returned = slice(settings.num_return - 1, settings.num_return)
        stops = stops | (bound < state.finished.score[:, last_returned])
    return state._replace(scores=state.scores.masked_fill(stops, -torch.inf))


def is_done(state: BeamState) -> Tensor:
    """Return (batch,) bool: whether no beam of the query is alive."""
    return state.scores.amax(dim=1) == -torch.inf


def raise_if_broken(state: BeamState) -> None:
    """Raise where a model's output was no distribution; waits for the device.

    Raises:
        NonFiniteLogitsError: a live beam's logits held NaN or +inf.
    """
    for query, step in zip(state.query.tolist(), state.broken.tolist(), strict=True):
        if step >= 0:
            raise NonFiniteLogitsError(query, step)
