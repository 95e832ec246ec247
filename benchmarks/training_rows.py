"""The rows that every contender trains on: real E2E rows, or random ids of the same lengths."""

import random
from pathlib import Path

from lora_lightning.data.batches import Batches
from lora_lightning.data.sets.e2e import E2EDataModule
from lora_lightning.data.tokenizer import load_tokenizer

VOCAB = 50257

E2E_LENGTHS = (  # context + completion ids of 256 random rows of E2E's training set
    "25+22 33+25 21+22 26+23 29+15 26+28 18+20 14+9 15+19 40+48 33+17 32+33 19+22 34+34 36+19 "
    "32+35 34+24 28+28 28+35 25+16 22+16 39+33 42+42 22+18 21+15 21+18 23+19 29+31 37+31 "
    "33+35 26+19 29+23 37+23 25+21 33+30 37+35 39+31 37+32 22+22 31+12 23+19 32+23 17+15 "
    "21+13 17+14 17+13 33+32 32+33 25+25 38+35 32+30 24+23 38+35 28+27 26+19 31+32 19+20 "
    "30+23 14+14 20+15 19+13 24+20 36+30 26+19 38+32 15+15 23+19 28+22 36+38 23+21 28+27 "
    "25+17 22+21 41+32 36+32 21+22 28+26 39+38 36+38 40+33 28+26 41+39 26+21 37+36 39+32 "
    "26+29 37+37 31+20 28+24 24+15 32+12 25+18 31+15 37+33 33+30 26+23 32+30 29+23 42+24 "
    "28+28 29+17 37+23 37+34 21+19 14+13 25+22 14+10 31+23 26+17 15+12 23+15 39+34 24+20 "
    "34+31 30+24 38+33 21+32 30+27 27+20 36+34 31+22 33+28 26+18 34+15 42+41 25+21 42+45 "
    "31+27 25+23 36+21 40+37 37+33 26+15 39+34 32+32 36+31 26+26 32+36 32+19 25+20 26+18 "
    "32+28 41+34 37+32 39+25 26+24 26+18 31+18 30+20 33+25 29+29 42+18 25+23 21+28 25+28 "
    "20+14 30+23 37+35 28+19 18+16 17+18 30+31 36+38 39+42 40+34 14+15 39+23 25+17 15+14 "
    "23+19 21+22 27+19 20+14 26+17 33+30 36+43 26+14 29+31 41+42 26+18 22+22 32+27 44+34 "
    "18+10 39+38 29+28 37+36 33+29 30+23 27+17 26+52 15+12 26+23 33+34 15+12 42+36 30+29 "
    "21+14 26+21 28+10 17+12 22+13 37+30 39+23 30+28 18+17 33+20 20+19 32+20 26+22 29+31 "
    "24+18 22+24 28+29 30+18 23+23 27+24 25+17 17+17 25+24 24+14 33+46 20+26 25+23 33+24 "
    "23+20 14+20 23+19 31+34 35+42 22+23 33+26 23+29 23+21 41+32 22+16 26+27 22+24 36+31 "
    "29+25 23+19 35+28 25+22 38+28 31+18 28+18 31+23 22+20 24+22 34+31 32+23 24+21 33+29 "
    "27+22 32+38 34+35 "
)

RowIds = tuple[list[int], list[int]]
"""Ids of a context and of a completion, each with its end token."""


def synthetic_rows(lengths: list[tuple[int, int]]) -> list[RowIds]:
    """Return rows of random ids with the given lengths of context and completion."""
    draw = random.Random(0)
    return [
        ([draw.randrange(VOCAB) for _ in range(context)], [draw.randrange(VOCAB) for _ in range(n)])
        for context, n in lengths
    ]


def e2e_rows(number: int, folder: Path | None, tokenizer: Path | None) -> list[RowIds]:
    """Return random rows of E2E, or random ids of such rows' lengths where there is no folder."""
    if folder is None or tokenizer is None:
        pairs = [tuple(map(int, pair.split("+"))) for pair in E2E_LENGTHS.split()]
        return synthetic_rows([pairs[i % len(pairs)] for i in range(number)])  # type: ignore[misc]
    data = Batches(E2EDataModule(dir=folder), load_tokenizer(tokenizer), seed=0)
    chosen = random.Random(0).sample(data.encoded("train"), number)
    return [(row.context_ids, row.completion_ids) for row in chosen]
