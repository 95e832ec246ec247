"""From examples to token ids: the layout of rows and queries.

    context ids, end, ids of " " + completion, end
    └── context_ids ──┘└────── completion_ids ───────┘

Everything here is the reference's, except that nothing is padded: the model is causal, so what
stands to the right of a row's end changes nothing in the row.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lora_lightning.data.example import Example
from lora_lightning.data.tokenizer import Tokenizer
from lora_lightning.errors import InputError

TOGETHER = 10_000
"""Rows that are encoded at a time: enough for every core, and a small part of a long file."""


class EncodedExample(NamedTuple):
    """Token ids of one example; the lists may be shared between examples: do not change them."""

    context_ids: list[int]
    completion_ids: list[int]

    @property
    def length(self) -> int:
        """Number of ids before any cut."""
        return len(self.context_ids) + len(self.completion_ids)


class Row(NamedTuple):
    """What the model learns from one example, all of shape (time,), at most `max_length` long.

    Attributes:
        input_ids: int64.
        targets: int64, the next id; 0 where there is none.
        completion_mask: bool, positions whose target is a completion id (the reference's clm).
        joint_mask: bool, positions with a target inside the row (the reference's jlm).
    """

    input_ids: Tensor
    targets: Tensor
    completion_mask: Tensor
    joint_mask: Tensor


class Context(NamedTuple):
    """One input to be put in words.

    Attributes:
        id: number of the row in which it appears first, or the id that the user gave.
        text: the context as text.
        query_ids: its ids with the end token, not cut.
    """

    id: int | str
    text: str
    query_ids: list[int]


def encode_example(example: Example, tokenizer: Tokenizer) -> EncodedExample:
    """Return context ids + [end] and ids of " " + completion + [end]; given ids stay as they are.

    Raises:
        InputError: a given id is outside the vocabulary.
    """
    return next(encode_examples([example], tokenizer))


def encode_examples(examples: Sequence[Example], tokenizer: Tokenizer) -> Iterator[EncodedExample]:
    """Encode many examples as `encode_example` does, each distinct text of some thousands once.

    Raises:
        InputError: a given id is outside the vocabulary; the message names the row, from 0.
    """
    for start in range(0, len(examples), TOGETHER):
        part = examples[start : start + TOGETHER]
        contexts = [example.context for example in part]
        completions = [
            " " + example.completion if isinstance(example.completion, str) else example.completion
            for example in part
        ]
        encoded = (_encode(texts, tokenizer, start) for texts in (contexts, completions))
        yield from map(EncodedExample, *encoded)


def encode_contexts(
    inputs: Iterable[tuple[int | str, str | tuple[int, ...]]], tokenizer: Tokenizer
) -> list[Context]:
    """Return the decoder's inputs for (id, context) pairs, in order.

    Raises:
        InputError: a given token id is outside the vocabulary.
    """
    inputs = list(inputs)
    encoded = _encode([context for _, context in inputs], tokenizer)
    return [
        Context(id, context_text(context, tokenizer), query_ids)
        for (id, context), query_ids in zip(inputs, encoded, strict=True)
    ]


def context_text(context: str | tuple[int, ...], tokenizer: Tokenizer) -> str:
    """Return the text of a context; token ids are decoded without their end token."""
    return context if isinstance(context, str) else _decode(context, tokenizer)


def completion_text(completion: str | tuple[int, ...], tokenizer: Tokenizer) -> str:
    """Return the text of a completion; token ids lose their end token and the one space before."""
    if isinstance(completion, str):
        return completion
    return _decode(completion, tokenizer).removeprefix(" ")


def make_row(encoded: EncodedExample, max_length: int) -> Row:
    """Return a training row, cut to `max_length` ids from the right.

    As in the reference, the last position of a cut row has the next id as its target, but both
    masks leave it out, so a context of `max_length` or more ids gives an empty completion mask.
    """
    ids = torch.tensor(encoded.context_ids + encoded.completion_ids, dtype=torch.int64)
    input_ids = ids[:max_length]
    following = ids[1 : max_length + 1]
    targets = torch.zeros_like(input_ids)
    targets[: len(following)] = following
    position = torch.arange(len(input_ids))
    joint_mask = position < len(input_ids) - 1
    completion_mask = joint_mask & (position >= len(encoded.context_ids) - 1)
    return Row(input_ids, targets, completion_mask, joint_mask)


def make_query(context_ids: list[int], max_length: int, max_new_tokens: int) -> list[int]:
    """Return the context ids, cut from the left so that `max_new_tokens` more have room.

    Raises:
        InputError: no room is left for a context.
    """
    room = max_length - max_new_tokens
    if room < 1:
        raise InputError(
            f"generation.max_new_tokens={max_new_tokens} leaves no room for a context in"
            f" data.max_length={max_length}; lower the one or raise the other"
        )
    return context_ids[-room:]


def _encode(
    parts: Sequence[str | tuple[int, ...]], tokenizer: Tokenizer, first_row: int = 0
) -> list[list[int]]:
    texts = list(dict.fromkeys(part for part in parts if isinstance(part, str)))
    end = tokenizer.end_of_text
    ids_of = {
        text: [*ids, end] for text, ids in zip(texts, tokenizer.encode_batch(texts), strict=True)
    }
    return [
        ids_of[part] if isinstance(part, str) else _checked(part, row, tokenizer)
        for row, part in enumerate(parts, first_row)
    ]


def _checked(ids: tuple[int, ...], row: int, tokenizer: Tokenizer) -> list[int]:
    if ids and max(ids) >= tokenizer.vocab_size:
        raise InputError(
            f"row {row} (from 0): token id {max(ids)}, but {tokenizer.name} has"
            f" {tokenizer.vocab_size} tokens; set model.tokenizer to the one that made the ids"
        )
    return list(ids)


def _decode(ids: tuple[int, ...], tokenizer: Tokenizer) -> str:
    return tokenizer.decode(ids[:-1] if ids[-1:] == (tokenizer.end_of_text,) else ids)
