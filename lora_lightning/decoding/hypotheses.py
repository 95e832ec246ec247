"""Finished texts: the best of each query while the search runs, and as records at its end."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from lora_lightning.decoding.settings import BeamSettings
from lora_lightning.gpt2.precision import in_double


class Finished(NamedTuple):
    """The best finished hypotheses of each query, best first; −inf marks an empty place.

    Attributes:
        tokens: (batch, kept, max_new_tokens) int64; what stands behind the end means nothing.
        token_log_probabilities: (batch, kept, max_new_tokens) fp32, likewise.
        log_probability: (batch, kept) fp32, sum of log p.
        length: (batch, kept) int64, tokens with the end token.
        score: (batch, kept) fp32, log_probability / length^length_penalty.
    """

    tokens: Tensor
    token_log_probabilities: Tensor
    log_probability: Tensor
    length: Tensor
    score: Tensor


@dataclass(frozen=True)
class Hypothesis:
    """One finished text.

    Attributes:
        tokens: generated tokens; the last is an end token unless the limit came first.
        token_log_probabilities: log p of each token.
        log_probability: sum of log p.
        length: number of tokens.
        score: log_probability / length^length_penalty.
        proven: going on to the limit could not change this hypothesis or its rank; never true of
            a drawn text.
    """

    tokens: list[int]
    token_log_probabilities: list[float]
    log_probability: float
    length: int
    score: float
    proven: bool


NOTHING = Hypothesis([], [], -torch.inf, 0, -torch.inf, proven=True)


def no_hypotheses(batch: int, settings: BeamSettings) -> Finished:
    """Return as many empty places per query as the search keeps."""
    kept, limit = max(settings.num_beams, settings.num_return), settings.max_new_tokens
    return Finished(
        tokens=torch.zeros(batch, kept, limit, dtype=torch.int64),
        token_log_probabilities=torch.zeros(batch, kept, limit),
        log_probability=torch.full((batch, kept), -torch.inf),
        length=torch.zeros(batch, kept, dtype=torch.int64),
        score=torch.full((batch, kept), -torch.inf),
    )


def score(log_probability: Tensor, length: Tensor, length_penalty: float) -> Tensor:
    """Return log_probability / length^length_penalty; (batch, beam) and (batch,)."""
    # The power in double precision, as the reference's, before it meets a fp32 sum.
    return log_probability / in_double(length).pow(length_penalty).float().unsqueeze(1)


def keep_best(finished: Finished, added: Finished) -> Finished:
    """Return as many of the best of both as `finished` has places.

    Of equal scores the earlier hypothesis stays before the later one, as in the reference.
    """
    everything = Finished(*(torch.cat(pair, dim=1) for pair in zip(finished, added, strict=True)))
    kept = finished.score.shape[1]
    order = everything.score.argsort(dim=1, descending=True, stable=True)[:, :kept]
    rows = torch.arange(len(order), device=order.device).unsqueeze(1)
    return Finished(*(field[rows, order] for field in everything))


def hypotheses_of(finished: Finished, settings: BeamSettings) -> list[list[Hypothesis]]:
    """Return the hypotheses of each query that is done, best first, at least one.

    A query that has none, because the constraints left no token, gets an empty one of score −inf.
    """
    proven = 0 if settings.sampling else settings.num_return
    found = []
    for query in zip(*(field.tolist() for field in finished), strict=True):
        ranked = [
            Hypothesis(tokens[:length], log_ps[:length], total, length, value, rank < proven)
            for rank, (tokens, log_ps, total, length, value) in enumerate(zip(*query, strict=True))
            if value > -torch.inf
        ]
        found.append(ranked or [NOTHING])
    return found
