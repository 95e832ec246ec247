"""Rows and queries, position for position as the reference's dataset gives them."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from lora_lightning.data.encoded_rows import EncodedRows
from lora_lightning.data.encoding import (
    Context,
    EncodedExample,
    completion_text,
    context_text,
    encode_contexts,
    encode_example,
    encode_examples,
    make_query,
    make_row,
)
from lora_lightning.data.example import Example
from lora_lightning.errors import InputError
from tests.goldens import golden

FIXTURE = Path(__file__).parent / "fixtures" / "rows.jsonl"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
IDS = st.lists(st.integers(0, 99), max_size=12)


def read_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("record", read_lines(FIXTURE), ids=lambda record: len(record["context"]))
def test_rows_and_queries_equal_the_reference(record):
    encoded = EncodedExample(record["context"], record["completion"])
    row = make_row(encoded, record["max_length"])
    assert row.input_ids.tolist() == record["input"]
    assert row.targets.tolist() == record["target"]
    assert row.completion_mask.tolist() == [bool(value) for value in record["clm"]]
    assert row.joint_mask.tolist() == [bool(value) for value in record["jlm"]]
    for max_new_tokens, query in record["queries"].items():
        found = make_query(encoded.context_ids, record["max_length"], int(max_new_tokens))
        assert found == query


@pytest.mark.parametrize(("length", "max_new_tokens"), [(512, 0), (512, 64), (48, 0), (48, 16)])
def test_all_golden_rows_apart_from_padding(length, max_new_tokens):
    golden_rows = load_file(golden("data", "rows.safetensors"))
    for index, record in enumerate(read_lines(golden("data", "rows.jsonl"))):
        encoded = EncodedExample(record["context"], record["completion"])
        row = make_row(encoded, length)
        for found, name in [
            (row.input_ids, f"any.{length}.input"),
            (row.targets, f"any.{length}.target"),
            (row.completion_mask, f"clm.{length}.mask"),
            (row.joint_mask, f"jlm.{length}.mask"),
        ]:
            expected = golden_rows[name][index].to(found.dtype)
            padding = expected.new_zeros(length - len(found))
            assert torch.equal(torch.cat([found, padding]), expected), (record["source"], name)
        query = make_query(encoded.context_ids, length, max_new_tokens)
        name = f"any.{length}.eval{max_new_tokens}.query"
        assert len(query) == golden_rows[f"{name}_len"][index]
        assert query == golden_rows[name][index][: len(query)].tolist()


@settings(max_examples=100, deadline=None)
@given(context=IDS.filter(bool), completion=IDS, length=st.integers(1, 20))
def test_each_position_of_a_row_is_what_its_definition_says(context, completion, length):
    ids = context + completion
    row = make_row(EncodedExample(context, completion), length)
    assert row.input_ids.tolist() == ids[:length]
    assert row.input_ids.dtype == row.targets.dtype == torch.int64
    last = len(row.input_ids) - 1
    for position, target in enumerate(row.targets.tolist()):
        assert target == (ids[position + 1] if position + 1 < len(ids) else 0)
        assert row.joint_mask[position] == (position < last)
        predicts_completion = position + 1 >= len(context)
        assert row.completion_mask[position] == (position < last and predicts_completion)


@settings(max_examples=50, deadline=None)
@given(context=IDS.filter(bool), length=st.integers(2, 20), new=st.integers(0, 19))
def test_a_query_is_the_end_of_the_context_and_leaves_room(context, length, new):
    if new >= length:
        with pytest.raises(InputError, match=r"generation\.max_new_tokens"):
            make_query(context, length, new)
        return
    query = make_query(context, length, new)
    assert context[-len(query) :] == query
    assert len(query) == min(len(context), length - new)


def test_a_context_that_fills_the_row_leaves_nothing_to_learn():
    row = make_row(EncodedExample([1, 2, 3, 4], [5, 6]), 4)
    assert not row.completion_mask.any()
    assert row.targets.tolist() == [2, 3, 4, 5]


def test_texts_get_their_end_tokens_and_the_completion_its_space(tokenizer):
    encoded = encode_example(Example("Blue Spice", "is a pub ."), tokenizer)
    end = tokenizer.end_of_text
    assert encoded.context_ids == [*tokenizer.encode("Blue Spice"), end]
    assert encoded.completion_ids == [*tokenizer.encode(" is a pub ."), end]
    empty = encode_example(Example("", ""), tokenizer)
    assert empty == ([end], [*tokenizer.encode(" "), end])


def test_token_ids_stay_as_they_are(tokenizer):
    assert encode_example(Example((5, 6), ()), tokenizer) == ([5, 6], [])
    assert encode_example(Example((5,), "a"), tokenizer).context_ids == [5]


def test_a_token_id_outside_the_vocabulary_is_an_error(tokenizer):
    examples = [Example("a", "b"), Example("a", (1, tokenizer.vocab_size))]
    message = rf"row 1 .*token id {tokenizer.vocab_size}, .*model\.tokenizer"
    with pytest.raises(InputError, match=message):
        list(encode_examples(examples, tokenizer))


@settings(max_examples=50, deadline=None)
@given(texts=st.lists(st.tuples(TEXT, TEXT), max_size=5))
def test_texts_come_back_from_their_token_ids(tokenizer, texts):
    for example, encoded in zip(
        texts, encode_examples([Example(*text) for text in texts], tokenizer), strict=True
    ):
        context, completion = map(tuple, encoded)
        assert context_text(context, tokenizer) == example[0]
        assert completion_text(completion, tokenizer) == example[1]


def test_contexts_keep_their_ids_and_are_not_cut(tokenizer):
    end = tokenizer.end_of_text
    ids = (*tokenizer.encode("a pub"), end)
    contexts = encode_contexts([("x", "Blue Spice"), (3, ids)], tokenizer)
    assert contexts == [
        Context("x", "Blue Spice", [*tokenizer.encode("Blue Spice"), end]),
        Context(3, "a pub", list(ids)),
    ]


@pytest.mark.parametrize("max_length", [2, 5, 8, 9, 10, 11, 64])
def test_the_labels_of_a_row_are_counted_without_making_it(max_length):
    examples = [EncodedExample([1] * context, [2] * completion)
                for context in (1, 2, 8, 9, 10) for completion in (1, 3)]  # fmt: skip
    masks = [make_row(example, max_length).completion_mask for example in examples]
    assert EncodedRows.join(examples).labels(max_length) == [int(mask.sum()) for mask in masks]
