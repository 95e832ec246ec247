"""From queries to hypotheses that have their context's name, and to records of them."""

import math
from collections.abc import Iterable, Iterator
from typing import Any

from lora_lightning.data.encoding import Context
from lora_lightning.decoding.beam import NonFiniteLogitsError
from lora_lightning.decoding.hypotheses import Hypothesis
from lora_lightning.decoding.runner import decode_contexts
from lora_lightning.decoding.seat import DECODING_SEAT
from lora_lightning.errors import InputError
from lora_lightning.evaluation.text import cut_text
from lora_lightning.tasks.decoder import Decoder


def decode_named(
    decoder: Decoder, contexts: list[Context], queries: list[list[int]]
) -> Iterator[tuple[Context, list[Hypothesis]]]:
    """Yield each context with its hypotheses, in the order in which they are done.

    Raises:
        InputError: the model's logits for a context are no numbers; names the context's id.
    """
    seat = DECODING_SEAT.get()
    decode = decode_contexts if seat is None else seat.decode
    results = decode(
        decoder.model,
        queries,
        decoder.settings,
        decoder.batch_size,
        decoder.max_memory,
        decoder.packing,
    )
    try:
        for index, hypotheses in results:
            yield contexts[index], hypotheses
    except NonFiniteLogitsError as error:
        where = f"context {contexts[error.query].id!r}, token {error.step + 1}"
        raise InputError(f"{where}: {error.reason}") from None


def prediction_record(
    context: Context, hypotheses: Iterable[Hypothesis], decoder: Decoder
) -> dict[str, Any]:
    """Return a line of predictions.jsonl."""
    records = []
    for hypothesis in hypotheses:
        record: dict[str, Any] = {
            "tokens": hypothesis.tokens,
            "text": cut_text(decoder.tokenizer.decode(hypothesis.tokens)),
            "log_probability": _finite(hypothesis.log_probability),
            "length": hypothesis.length,
            "score": _finite(hypothesis.score),
            "proven": hypothesis.proven,
        }
        if decoder.token_log_probabilities:
            record["token_log_probabilities"] = hypothesis.token_log_probabilities
        records.append(record)
    best = {key: records[0][key] for key in ("text", "tokens", "score")}
    return {"id": context.id, "context": context.text, **best, "hypotheses": records}


def _finite(number: float) -> float | None:
    """Return None for the −inf of a context whose every continuation was banned: no JSON has it."""
    return number if math.isfinite(number) else None
