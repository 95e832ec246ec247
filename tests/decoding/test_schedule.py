"""How many contexts are decoded at once, and which process decodes which."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import GPT2Config, GPT2LMHeadModel

from lora_lightning.decoding.schedule import automatic_batch_size, divide, expected_cost
from tests.decoding.search import make_settings

PAPER = make_settings(num_beams=10, max_new_tokens=64, end_token_ids=(50256, 628))


def shape_of(**config):
    with torch.device("meta"):
        return GPT2LMHeadModel(GPT2Config(**config))


def test_a_batch_takes_no_more_than_the_memory_it_is_given():
    model = shape_of(n_embd=1024, n_layer=24, n_head=16)  # GPT-2 Medium
    # Keys and values of the prompt and of every beam's tokens, and a step's logits.
    one = 2 * 24 * 1024 * 4 * (60 + 640) + 10 * 50257 * 12
    for contexts in (1, 3, 7):
        assert automatic_batch_size(model, 60, PAPER, contexts * one) == contexts
        assert automatic_batch_size(model, 60, PAPER, (contexts + 1) * one - 1) == contexts


def test_longer_contexts_make_smaller_batches():
    model = shape_of()
    short, long = (automatic_batch_size(model, length, PAPER, 10**9) for length in (60, 448))
    assert 1 <= long < short


def test_a_batch_has_at_least_one_context():
    assert automatic_batch_size(shape_of(), 400, PAPER, max_memory=1) == 1


@pytest.mark.parametrize("memory", [None, 10**15])
def test_a_batch_is_no_larger_than_its_device_needs(memory):
    model = shape_of(n_layer=1)
    if memory is None:
        model = GPT2LMHeadModel(GPT2Config(n_layer=1, n_embd=8, n_head=1))  # on the CPU
    assert 1 <= automatic_batch_size(model, 60, PAPER, memory) <= 300


@settings(max_examples=60, deadline=None, derandomize=True)
@given(costs=st.lists(st.integers(1, 100), max_size=40), parts=st.integers(1, 6))
def test_everything_is_divided_exactly_once_and_evenly(costs, parts):
    shares = divide(costs, parts)
    assert len(shares) == parts
    assert sorted(index for share in shares for index in share) == list(range(len(costs)))
    loads = [sum(costs[index] for index in share) for share in shares]
    assert max(loads) - min(loads) <= max(costs, default=0)
    assert all(share == sorted(share, key=lambda index: -costs[index]) for share in shares)


def test_contexts_are_divided_by_cost_not_by_count():
    costs = [expected_cost(length, PAPER) for length in (60, 20, 20, 20)]
    assert divide(costs, 2) == [[0], [1, 2, 3]]
