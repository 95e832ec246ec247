"""Two beam searches for the tests: a slow independent one, and a driver of ours without a cache."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from lora_lightning.decoding.beam import advance, is_done, raise_if_broken, start, stop_proven
from lora_lightning.decoding.hypotheses import Hypothesis, hypotheses_of
from lora_lightning.decoding.settings import BeamSettings

Model = Callable[[list[int], list[int]], Tensor]
"""(prompt, generated tokens) -> logits (vocab,)"""


def make_settings(**changes):
    """The paper's settings over a toy vocabulary whose end token is 0."""
    settings = {
        "num_beams": 4,
        "max_new_tokens": 8,
        "min_new_tokens": 0,
        "length_penalty": 0.8,
        "no_repeat_ngram_size": 0,
        "no_repeat_ngram_scope": "generated",
        "repetition_penalty": 1.0,
        "end_token_ids": (0,),
        "num_return": 1,
    }
    return BeamSettings(**{**settings, **changes})


def toy_model(seed: int, vocabulary: int, impossible: float = 0.0) -> Model:
    """A random language model; its logits depend on the position, the newest token and the prompt.

    A share of the tokens is impossible (−inf).
    """
    generator = torch.Generator().manual_seed(seed)
    tables = 2 * torch.randn(16, vocabulary, vocabulary, generator=generator)
    tables[torch.rand(tables.shape, generator=generator) < impossible] = -torch.inf

    def logits(prompt: list[int], generated: list[int]) -> Tensor:
        newest = generated[-1] if generated else prompt[-1]
        return tables[(sum(prompt) + len(generated)) % 16, newest].clone()

    return logits


def slow_search(model: Model, prompt: list[int], settings: BeamSettings) -> list[Hypothesis]:
    """Beam search of one query, one beam after the other, to the limit, in double precision."""
    live: list[tuple[float, list[int]]] = [(0.0, [])]
    finished: list[Hypothesis] = []

    def finish(total: float, tokens: list[int]) -> None:
        score = total / len(tokens) ** settings.length_penalty
        place = sum(other.score >= score for other in finished)
        finished.insert(place, Hypothesis(tokens, [], total, len(tokens), score, True))

    for _ in range(settings.max_new_tokens):
        candidates = [
            (total + log_probability, [*tokens, token])
            for total, tokens in live
            for token, log_probability in _log_probabilities(model, prompt, tokens, settings)
        ]
        best = sorted(candidates, key=lambda candidate: -candidate[0])[: settings.num_beams]
        for total, tokens in best:
            if tokens[-1] in settings.end_token_ids:
                finish(total, tokens)
        live = [beam for beam in best if beam[1][-1] not in settings.end_token_ids]
    for total, tokens in live:
        finish(total, tokens)
    return finished or [Hypothesis([], [], -math.inf, 0, -math.inf, True)]


def _log_probabilities(
    model: Model, prompt: list[int], tokens: list[int], settings: BeamSettings
) -> list[tuple[int, float]]:
    """(token, log p) of each possible next token."""
    logits = model(prompt, tokens).tolist()
    for token in set(tokens):
        factor = settings.repetition_penalty
        logits[token] = logits[token] / factor if logits[token] > 0 else logits[token] * factor
    if len(tokens) < settings.min_new_tokens:
        for token in settings.end_token_ids:
            logits[token] = -math.inf
    size = settings.no_repeat_ngram_size
    history = prompt + tokens if settings.no_repeat_ngram_scope == "full" else tokens
    seen = {tuple(history[i : i + size]) for i in range(len(history) - size + 1)} if size else set()
    possible = [
        token
        for token, logit in enumerate(logits)
        if logit > -math.inf and (*history[len(history) - size + 1 :], token)[-size:] not in seen
    ]
    total = sum(math.exp(logits[token]) for token in possible)
    return [(token, logits[token] - math.log(total)) for token in possible]


def search(
    model: Model, prompts: list[list[int]], settings: BeamSettings
) -> tuple[list[list[Hypothesis]], list[int]]:
    """Our search of a batch; returns the hypotheses of each query and the steps that it took."""
    state = start(range(len(prompts)), prompts, settings, torch.device("cpu"))
    results, steps = [[]] * len(prompts), [0] * len(prompts)
    while len(state.query):
        logits = torch.stack(
            [
                torch.stack([model(prompts[query], beam[:step]) for beam in beams])
                for query, step, beams in zip(
                    state.query.tolist(), state.step.tolist(), state.tokens.tolist(), strict=True
                )
            ]
        )
        state, _ = advance(state, logits, settings)
        raise_if_broken(state)
        state = stop_proven(state, settings)
        done = is_done(state)
        leaving = state.select(done)
        found = hypotheses_of(leaving.finished, settings)
        for query, step, texts in zip(
            leaving.query.tolist(), leaving.step.tolist(), found, strict=True
        ):
            results[query], steps[query] = texts, step
        state = state.select(~done)
    return results, steps
