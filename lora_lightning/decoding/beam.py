"""Beam search as a pure function: logits in, next beams out; it knows no model.

The semantics are the reference's at batch size 1, for every batch size (microsoft/LoRA,
examples/NLG; the paper's section on generation): K candidates are kept at each step, not 2K; a
beam that ends uses up its slot in that step; the slot is refilled by continuations of live beams;
the search runs to the limit. Ours stops a query earlier, but only when it is proven that going on
cannot change the answer (`is_done`).

    state = start(...)
    while queries are left:
        state, parents = advance(state, logits, settings)
        finished queries = is_done(state, settings)

Shapes: batch = queries, beam = K = `num_beams` (1 before the first step), step = tokens generated
so far, kept = finished hypotheses remembered per query.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from lora_lightning.decoding.constraints import constrain
from lora_lightning.decoding.settings import BeamSettings
from lora_lightning.errors import InputError


class Finished(NamedTuple):
    """The best finished hypotheses of each query, best first; −inf marks an empty place.

    Attributes:
        tokens: (batch, kept, max_new_tokens) int64, zeros behind the end.
        log_probability: (batch, kept) fp32, sum of log p.
        length: (batch, kept) int64, tokens with the end token.
        score: (batch, kept) fp32, log_probability / length^length_penalty.
    """

    tokens: Tensor
    log_probability: Tensor
    length: Tensor
    score: Tensor


class BeamState(NamedTuple):
    """All that the search knows between two steps.

    Attributes:
        query: (batch,) int64, the caller's number of each query.
        prompt: (batch, prompt) int64, padded with −1 on the left; of width 0 unless n-grams of the
            prompt count.
        tokens: (batch, beam, step) int64.
        scores: (batch, beam) fp32, sum of log p; −inf marks a dead beam, one that has ended.
        finished: the finished hypotheses.
    """

    query: Tensor
    prompt: Tensor
    tokens: Tensor
    scores: Tensor
    finished: Finished

    def select(self, rows: Tensor) -> "BeamState":
        """Return the state of some queries; `rows` is an index or a mask over the batch."""
        return BeamState(
            query=self.query[rows],
            prompt=self.prompt[rows],
            tokens=self.tokens[rows],
            scores=self.scores[rows],
            finished=Finished(*(field[rows] for field in self.finished)),
        )


@dataclass(frozen=True)
class Hypothesis:
    """One finished text.

    Attributes:
        tokens: generated tokens; the last is an end token unless the limit came first.
        log_probability: sum of log p.
        length: number of tokens.
        score: log_probability / length^length_penalty.
        proven: going on to the limit could not change this hypothesis or its rank.
    """

    tokens: list[int]
    log_probability: float
    length: int
    score: float
    proven: bool


class NonFiniteLogitsError(InputError):
    """The model's output is no distribution: it holds NaN or +inf.

    Attributes:
        query: the query's number.
        step: tokens generated before, from 0.
    """

    def __init__(self, query: int, step: int) -> None:
        super().__init__(
            f"query {query}, step {step}: the model's logits are NaN or infinite; "
            "check the weights, or use model.dtype=float32"
        )
        self.query, self.step = query, step


def start(
    queries: Sequence[int],
    prompts: Sequence[Sequence[int]],
    settings: BeamSettings,
    device: torch.device,
) -> BeamState:
    """Return the state before the first step: one empty beam per query.

    Args:
        queries: a number for each query, for results and messages.
        prompts: the token ids of each query.
        settings: how to search.
        device: where the search runs.
    """
    batch, kept = len(queries), max(settings.num_beams, settings.num_return)
    counts = settings.no_repeat_ngram_size > 0 and settings.no_repeat_ngram_scope == "full"
    width = max(map(len, prompts)) if counts else 0
    padded = [[-1] * (width - len(ids)) + list(ids) for ids in prompts] if counts else [[]] * batch
    with device:
        return BeamState(
            query=torch.tensor(queries),
            prompt=torch.tensor(padded, dtype=torch.int64),
            tokens=torch.zeros(batch, 1, 0, dtype=torch.int64),
            scores=torch.zeros(batch, 1),
            finished=Finished(
                tokens=torch.zeros(batch, kept, settings.max_new_tokens, dtype=torch.int64),
                log_probability=torch.full((batch, kept), -torch.inf),
                length=torch.zeros(batch, kept, dtype=torch.int64),
                score=torch.full((batch, kept), -torch.inf),
            ),
        )


def advance(state: BeamState, logits: Tensor, settings: BeamSettings) -> tuple[BeamState, Tensor]:
    """Search one step.

    Args:
        state: the state before the step.
        logits: (batch, beam, vocab), the model's output for each beam; changed in place. −inf is
            an impossible token.
        settings: how to search.

    Returns:
        The state after the step, with K beams sorted from best to worst (ended ones dead), and
        (batch, K) int64, the beam that each new beam goes on from.

    Raises:
        NonFiniteLogitsError: a live beam's logits hold NaN or +inf.
    """
    logits = logits.float()
    constrain(logits, state.prompt, state.tokens, settings)
    scores, parents, newest = _best_candidates(state, logits, settings.num_beams)
    history = state.tokens.gather(1, parents.unsqueeze(-1).expand(-1, -1, state.tokens.shape[-1]))
    tokens = torch.cat([history, newest.unsqueeze(-1)], dim=-1)  # (batch, K, step + 1)

    ended = torch.isin(newest, newest.new_tensor(settings.end_token_ids))
    finished = _keep_best(state.finished, tokens, scores.masked_fill(~ended, -torch.inf), settings)
    scores = scores.masked_fill(ended, -torch.inf)
    if tokens.shape[-1] == settings.max_new_tokens:
        # In this order as in the reference, where it decides between equal scores.
        finished = _keep_best(finished, tokens, scores, settings)
    return BeamState(state.query, state.prompt, tokens, scores, finished), parents


def _best_candidates(
    state: BeamState, logits: Tensor, num_beams: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return scores, parents, tokens, each (batch, num_beams), of the best continuations.

    The best K of a query are among the best K of each of its beams: looking there first saves
    writing the sums over the whole vocabulary. Where there are fewer, −inf fills up.
    """
    width = min(num_beams, logits.shape[-1])
    log_probabilities, tokens = logits.log_softmax(-1).topk(width)  # (batch, beam, width)
    undefined = log_probabilities[..., 0].isnan() & (state.scores > -torch.inf)
    if undefined.any():
        _check_banned(state, logits, undefined)
    # A beam whose every token is banned has no distribution; all its continuations are impossible.
    log_probabilities = log_probabilities.nan_to_num(nan=-torch.inf, neginf=-torch.inf)
    # Rounding must not make a probability exceed one: `is_done` counts on falling sums.
    log_probabilities = log_probabilities.clamp(max=0)
    sums = (state.scores.unsqueeze(-1) + log_probabilities).flatten(1)  # (batch, beam · width)
    missing = max(0, num_beams - sums.shape[1])
    scores, places = pad(sums, (0, missing), value=-torch.inf).topk(num_beams)
    parents = (places // width).clamp(max=state.scores.shape[1] - 1)
    return scores, parents, pad(tokens.flatten(1), (0, missing)).gather(1, places)


def _check_banned(state: BeamState, logits: Tensor, undefined: Tensor) -> None:
    """Raise unless every undefined beam, (batch, beam) bool, only has impossible tokens."""
    broken = (undefined & (logits != -torch.inf).any(-1)).any(-1)  # (batch,)
    if broken.any():
        raise NonFiniteLogitsError(int(state.query[broken][0]), state.tokens.shape[-1])


def _keep_best(
    finished: Finished, tokens: Tensor, log_probability: Tensor, settings: BeamSettings
) -> Finished:
    """Add hypotheses of one length, and keep as many of the best as before.

    Args:
        finished: the hypotheses so far.
        tokens: (batch, beam, step) int64.
        log_probability: (batch, beam) fp32; −inf where there is nothing to add.
        settings: how to search.
    """
    step, kept = tokens.shape[-1], finished.score.shape[1]
    added = Finished(
        tokens=pad(tokens, (0, settings.max_new_tokens - step)),
        log_probability=log_probability,
        length=torch.full_like(tokens[..., 0], step),
        score=_score(log_probability, step, settings),
    )
    everything = Finished(*(torch.cat(pair, dim=1) for pair in zip(finished, added, strict=True)))
    # Stable: of equal scores the earlier hypothesis stays before the later one.
    order = everything.score.argsort(dim=1, descending=True, stable=True)[:, :kept]
    rows = torch.arange(order.shape[0], device=order.device).unsqueeze(1)
    return Finished(*(field[rows, order] for field in everything))


def _score(log_probability: Tensor, length: int, settings: BeamSettings) -> Tensor:
    return log_probability / length**settings.length_penalty


def is_done(state: BeamState, settings: BeamSettings) -> Tensor:
    """Return (batch,) bool: whether no live beam can still change the best `num_return`.

    The sum of a live beam, s ≤ 0, can only fall. A hypothesis that comes of it has a length L from
    step + 1 to the limit, so its score is at most s / L^p for one of them; L^p is monotone in L
    for either sign of p, so the largest is at one of the two ends. Rounding keeps this order,
    since bound and scores are computed by the same operations, each of them monotone.
    """
    step = state.tokens.shape[-1]
    best = state.scores.amax(dim=1)
    if step == settings.max_new_tokens:
        return torch.ones_like(best, dtype=torch.bool)
    bound = torch.maximum(
        _score(best, step + 1, settings), _score(best, settings.max_new_tokens, settings)
    )
    to_beat = state.finished.score[:, settings.num_return - 1]
    return (bound < to_beat) | (best == -torch.inf)


def hypotheses(state: BeamState, settings: BeamSettings) -> list[list[Hypothesis]]:
    """Return the hypotheses of each query that is done, best first, at least one.

    A query that has none, because the constraints left no token, gets an empty one of score −inf.
    """
    nothing = Hypothesis([], -torch.inf, 0, -torch.inf, proven=True)
    return [
        [
            Hypothesis(tokens[:length], log_probability, length, score, rank < settings.num_return)
            for rank, (tokens, log_probability, length, score) in enumerate(
                zip(*query, strict=True)
            )
            if score > -torch.inf
        ]
        or [nothing]
        for query in zip(*(field.tolist() for field in state.finished), strict=True)
    ]
