"""Decodings by a small GPT-2, by themselves or side by side."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch

from lora_lightning.decoding.runner import decode_contexts
from lora_lightning.decoding.seat import DECODING_SEAT
from lora_lightning.methods.inject import merge_adapters
from lora_lightning.one_pass.engine import Pass
from tests.decoding.search import make_settings
from tests.methods.models import randomize, small_gpt2

QUERIES = tuple(
    tuple(torch.randint(1, 50, (length,), generator=torch.Generator().manual_seed(length)).tolist())
    for length in (4, 2, 9, 4, 1, 6)
)
SEARCH = make_settings(num_beams=3, max_new_tokens=6, no_repeat_ngram_size=2, num_return=2)


@dataclass(frozen=True)
class Settings:
    method: Any
    seed: int = 0
    queries: tuple[tuple[int, ...], ...] = QUERIES
    search: Any = SEARCH
    batch_size: Any = "auto"
    packing: bool = False


def model_of(settings: Settings):
    model = small_gpt2(n_positions=64)
    settings.method.apply(model)
    return randomize(model, getattr(settings.method, "bias", "none"), settings.seed)


def decoding(settings: Settings, change=None):
    """Return a function that decodes, in whichever seat it finds itself."""

    def decode():
        model = model_of(settings)
        if change is not None:
            change(model)
        seat = DECODING_SEAT.get()
        if seat is None:
            merge_adapters(model)
        search = decode_contexts if seat is None else seat.decode
        queries = list(map(list, settings.queries))
        given = (settings.search, settings.batch_size, None, settings.packing)
        return dict(search(model, queries, *given))

    return decode


def side_by_side(each, at_once=None):
    """Run all in one pass, in which none may fall back to itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lora_lightning.one_pass.searches.first_line", fail)
        return Pass([decoding(settings) for settings in each], at_once).run()


def fail(error):
    raise AssertionError("the jobs cannot go together") from error


def alone(settings: Settings):
    return decoding(settings)()
