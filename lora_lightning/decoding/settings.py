"""The settings of decoding: beam search, or sampling by the same loop."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le

from lora_lightning.errors import InputError
from lora_lightning.ranges import (
    GIVEN,
    Bytes,
    Count,
    CountOrZero,
    Positive,
    PositiveShare,
    Seed,
    TokenIds,
    ranged,
)

LengthPenalty = Annotated[float, Ge(-10), Le(10)]
"""Beyond, length^penalty of a long text is no float32 number any more."""


@ranged("generation")
@dataclass(frozen=True)
class DrawingSettings:
    """How to draw tokens instead of searching for the likeliest text.

    Attributes:
        temperature: logits are divided by it; below 1 sharpens, above 1 flattens, and
            generation=greedy is its limit.
        top_k: only the so many likeliest tokens are drawn from; 0 = all.
        top_p: only the likeliest tokens that together have this probability; 1 = all.

    Raises:
        InputError: a value is out of its range; the message names the config key.
    """

    temperature: Positive
    top_k: CountOrZero
    top_p: PositiveShare


@ranged("generation")
@dataclass(frozen=True)
class Sampling(DrawingSettings):
    """How to draw, and the seed; further attributes as in `DrawingSettings`.

    Attributes:
        seed: decides every draw, together with the query's tokens, so that neither the batch nor
            the order changes a text.
    """

    seed: Seed


@ranged("generation")
@dataclass(frozen=True)
class SearchSettings:
    """What to search for.

    Attributes:
        num_beams: K, the beams per query; 1 is greedy search. Under sampling the texts that are
            drawn per query.
        max_new_tokens: the limit; a beam that has not ended there enters as it is.
        min_new_tokens: no end token among the first so many tokens.
        length_penalty: p in score = sum of log p / length^p; length counts the end token.
        no_repeat_ngram_size: no n-gram of this size occurs twice; 0 = off.
        no_repeat_ngram_scope: whose n-grams count: the generated tokens' (the reference), or
            `full`, the prompt's too.
        repetition_penalty: see `penalise_repetition`; 1 = off.
        num_return: how many of the best hypotheses are to be proven the best.

    Raises:
        InputError: a value is out of its range, or two contradict each other; the message names
            the config key.
    """

    num_beams: Count
    max_new_tokens: Count
    min_new_tokens: CountOrZero
    length_penalty: LengthPenalty
    no_repeat_ngram_size: CountOrZero
    no_repeat_ngram_scope: Literal["generated", "full"]
    repetition_penalty: Positive
    num_return: Count

    def __post_init__(self) -> None:
        if self.min_new_tokens > self.max_new_tokens:
            raise InputError(
                f"generation.min_new_tokens={self.min_new_tokens} is more than "
                f"generation.max_new_tokens={self.max_new_tokens}; lower the first"
            )


@ranged("generation")
@dataclass(frozen=True)
class BeamSettings(SearchSettings):
    """How to decode; further attributes and errors as in `SearchSettings`.

    Attributes:
        end_token_ids: the tokens that end a hypothesis.
        sampling: draw K texts instead of searching; None searches.
    """

    end_token_ids: Annotated[tuple[CountOrZero, ...], GIVEN]
    sampling: Sampling | None = None


@ranged("generation")
@dataclass(frozen=True)
class DecodingSettings:
    """How contexts are decoded, beside what is searched for.

    Attributes:
        eos_token_ids: the tokens that end a text; None: the tokenizer's.
        batch_size: contexts at once.
        max_memory: bytes for keys, values and logits under `auto`; None: what there is.
        token_log_probabilities: write the log probability of every token as well.
        on_long_context: what happens to a context that does not fit.

    Raises:
        InputError: a value is out of its range; the message names the config key.
    """

    eos_token_ids: TokenIds | None
    batch_size: Literal["auto"] | Count
    max_memory: Bytes | None
    token_log_probabilities: bool
    on_long_context: Literal["cut", "error"]
