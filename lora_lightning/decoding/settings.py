"""The settings of decoding: beam search, or sampling by the same loop."""

from dataclasses import dataclass
from typing import Literal

from lora_lightning.errors import InputError


@dataclass(frozen=True)
class Sampling:
    """How to draw tokens instead of searching for the likeliest text.

    Attributes:
        temperature: logits are divided by it; below 1 sharpens, above 1 flattens.
        top_k: only the so many likeliest tokens are drawn from; 0 = all.
        top_p: only the likeliest tokens that together have this probability; 1 = all.
        seed: decides every draw, together with the query's tokens, so that neither the batch nor
            the order changes a text.

    Raises:
        InputError: a value is out of its range; the message names the config key.
    """

    temperature: float
    top_k: int
    top_p: float
    seed: int

    def __post_init__(self) -> None:
        _check(
            self,
            temperature=(self.temperature > 0, "more than 0 (generation=greedy is its limit)"),
            top_k=(self.top_k >= 0, "0 (off) or more"),
            top_p=(0 < self.top_p <= 1, "more than 0 and at most 1 (off)"),
        )


@dataclass(frozen=True)
class BeamSettings:
    """How to decode.

    Attributes:
        num_beams: K, the beams per query; 1 is greedy search. Under `sampling` the texts that are
            drawn per query.
        max_new_tokens: the limit; a beam that has not ended there enters as it is.
        min_new_tokens: no end token among the first so many tokens.
        length_penalty: p in score = sum of log p / length^p; length counts the end token.
        no_repeat_ngram_size: no n-gram of this size occurs twice; 0 = off.
        no_repeat_ngram_scope: whose n-grams count: the generated tokens' (the reference), or
            `full`, the prompt's too.
        repetition_penalty: see `penalise_repetition`; 1 = off.
        end_token_ids: the tokens that end a hypothesis.
        num_return: how many of the best hypotheses are to be proven the best.
        sampling: draw K texts instead of searching; None searches.

    Raises:
        InputError: a value is out of its range; the message names the config key.
    """

    num_beams: int
    max_new_tokens: int
    min_new_tokens: int
    length_penalty: float
    no_repeat_ngram_size: int
    no_repeat_ngram_scope: Literal["generated", "full"]
    repetition_penalty: float
    end_token_ids: tuple[int, ...]
    num_return: int
    sampling: Sampling | None = None

    def __post_init__(self) -> None:
        _check(
            self,
            num_beams=(self.num_beams >= 1, "at least 1"),
            max_new_tokens=(self.max_new_tokens >= 1, "at least 1"),
            min_new_tokens=(
                0 <= self.min_new_tokens <= self.max_new_tokens,
                f"from 0 to max_new_tokens={self.max_new_tokens}",
            ),
            no_repeat_ngram_size=(self.no_repeat_ngram_size >= 0, "0 (off) or more"),
            no_repeat_ngram_scope=(
                self.no_repeat_ngram_scope in ("generated", "full"),
                "generated or full",
            ),
            repetition_penalty=(self.repetition_penalty > 0, "more than 0 (1 is off)"),
            num_return=(self.num_return >= 1, "at least 1"),
        )


def _check(settings: Sampling | BeamSettings, **rules: tuple[bool, str]) -> None:
    """Raise an InputError for the first attribute whose rule does not hold."""
    for key, (holds, rule) in rules.items():
        if not holds:
            raise InputError(f"generation.{key}={getattr(settings, key)}: must be {rule}")
