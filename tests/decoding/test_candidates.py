"""The likeliest tokens of a vocabulary, and drawn ones."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lora_lightning.decoding.candidates import (
    BLOCK,
    draw,
    largest,
    log_probability,
    log_softmax_,
    random_numbers,
)
from lora_lightning.decoding.settings import Sampling
from lora_lightning.errors import InputError

ALL = Sampling(temperature=1.0, top_k=0, top_p=1.0, seed=0)


def random_logits(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**31),
    vocabulary=st.integers(1, 12 * BLOCK),
    count=st.integers(1, 6),
    banned=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_looking_at_blocks_first_finds_the_same_as_looking_at_all(seed, vocabulary, count, banned):
    logits = random_logits(seed, 2, 3, vocabulary)
    logits[random_logits(seed + 1, 2, 3, vocabulary).sigmoid() < banned] = -torch.inf
    count = min(count, vocabulary)
    values, tokens = largest(logits, count)
    assert torch.equal(values, logits.topk(count).values)
    assert torch.equal(logits.gather(-1, tokens), values)
    assert all(len(set(row)) == count for row in tokens.flatten(0, 1).tolist())


def test_log_probabilities_are_at_most_zero_and_none_is_not_a_number():
    logits = torch.tensor([[[0.0, -torch.inf], [-torch.inf, -torch.inf]]])
    log_p = log_probability(log_softmax_(logits), torch.tensor([[[0, 1], [0, 1]]]))
    assert log_p.tolist() == [[[0, -torch.inf], [-torch.inf, -torch.inf]]]


def drawn_shares(sampling, logits, draws=20000):
    """How often each token of one beam is drawn over evenly spread random numbers."""
    uniform = ((torch.arange(draws) + 0.5) / draws).view(draws, 1)
    tokens = draw(logits.expand(draws, 1, -1), uniform, sampling)
    return torch.bincount(tokens.flatten(), minlength=logits.shape[-1]) / draws


def test_tokens_are_drawn_with_their_probabilities():
    logits = torch.tensor([0.1, 0.2, 0.0, 0.7]).log()
    torch.testing.assert_close(drawn_shares(ALL, logits), logits.exp(), atol=1e-3, rtol=0)


def test_the_temperature_divides_the_logits():
    sampling = Sampling(temperature=0.5, top_k=0, top_p=1.0, seed=0)
    logits = torch.tensor([0.2, 0.8]).log()
    shares = torch.tensor([0.04, 0.64]) / 0.68
    torch.testing.assert_close(drawn_shares(sampling, logits), shares, atol=1e-3, rtol=0)


def test_top_k_draws_from_the_likeliest_only():
    sampling = Sampling(temperature=1.0, top_k=2, top_p=1.0, seed=0)
    shares = drawn_shares(sampling, torch.tensor([0.1, 0.2, 0.3, 0.4]).log())
    torch.testing.assert_close(shares, torch.tensor([0, 0, 3 / 7, 4 / 7]), atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("top_p", "expected"), [(0.3, [0, 0, 1.0]), (0.6, [0, 0.375, 0.625]), (0.9, [0.2, 0.3, 0.5])]
)
def test_top_p_draws_from_the_fewest_that_have_the_probability_together(top_p, expected):
    sampling = Sampling(temperature=1.0, top_k=0, top_p=top_p, seed=0)
    shares = drawn_shares(sampling, torch.tensor([0.2, 0.3, 0.5]).log())
    torch.testing.assert_close(shares, torch.tensor(expected), atol=1e-3, rtol=0)


def test_random_numbers_depend_on_seed_and_prompt_alone():
    together = random_numbers([[1, 2], [3]], (2, 4), ALL)
    torch.testing.assert_close(random_numbers([[3]], (2, 4), ALL)[0], together[1])
    other_seed = Sampling(temperature=1.0, top_k=0, top_p=1.0, seed=1)
    assert not torch.equal(random_numbers([[3]], (2, 4), other_seed)[0], together[1])
    assert not torch.equal(together[0], together[1])


@pytest.mark.parametrize(
    ("change", "key"), [({"temperature": 0}, "temperature=0"), ({"top_p": 0}, "top_p=0")]
)
def test_a_setting_out_of_range_is_refused_with_its_key(change, key):
    with pytest.raises(InputError, match=f"generation.{key}"):
        Sampling(**{"temperature": 1.0, "top_k": 0, "top_p": 1.0, "seed": 0, **change})
