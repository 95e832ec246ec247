"""The three constraints, each alone and in the reference's order."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lora_lightning.decoding.constraints import (
    ban_repeated_ngrams,
    ban_tokens,
    constrain,
    penalise_repetition,
)
from tests.decoding.search import make_settings

NO_PROMPT = torch.zeros(1, 0, dtype=torch.int64)


def banned_tokens(history, size, vocabulary=8):
    """Which tokens are banned after the history of one beam."""
    logits = torch.zeros(1, 1, vocabulary)
    ban_repeated_ngrams(logits, torch.tensor(history, dtype=torch.int64).view(1, 1, -1), size)
    return logits.isinf().nonzero()[:, -1].tolist()


def test_the_repetition_penalty_divides_positive_and_multiplies_negative_logits_once():
    logits = torch.tensor([[[3.0, -3.0, 3.0, -3.0]]])
    penalise_repetition(logits, torch.tensor([[[0, 1, 0, 0]]]), 1.5)
    assert logits.tolist() == [[[2.0, -4.5, 3.0, -3.0]]]


def test_the_repetition_penalty_looks_at_each_beam_alone():
    logits = torch.ones(2, 2, 3)
    penalise_repetition(logits, torch.tensor([[[0], [1]], [[2], [2]]]), 2.0)
    assert (logits == 0.5).nonzero().tolist() == [[0, 0, 0], [0, 1, 1], [1, 0, 2], [1, 1, 2]]


def test_banned_tokens_are_impossible_where_they_are_banned():
    logits = torch.zeros(2, 3, 4)
    ban_tokens(logits, (1, 3), where=torch.tensor([[True] * 3, [False] * 3]))
    assert logits[0][:, [1, 3]].isneginf().all()
    assert (logits[0][:, [0, 2]] == 0).all()
    assert (logits[1] == 0).all()


def test_an_ngram_is_not_repeated():
    assert banned_tokens([1, 2, 3, 1, 2], size=3) == [3]
    assert banned_tokens([1, 2, 3, 1, 2, 4, 1, 2], size=3) == [3, 4]
    assert banned_tokens([1, 2, 3, 4], size=3) == []


def test_a_history_too_short_for_an_ngram_bans_nothing():
    assert banned_tokens([1, 1, 1], size=4) == []
    assert banned_tokens([], size=1) == []


def test_unigrams_ban_every_token_of_the_history():
    assert banned_tokens([5, 2, 5], size=1) == [2, 5]


def test_a_token_stays_banned_where_it_also_ends_an_ngram_that_is_not_repeated():
    assert banned_tokens([1, 7, 2, 7, 3, 7, 1], size=2) == [7]
    assert banned_tokens([2, 7, 1, 7, 2], size=2) == [7]


def test_padding_belongs_to_no_ngram():
    assert banned_tokens([-1, -1, -1, 4], size=3) == []
    assert banned_tokens([-1, -1, -1], size=2) == []
    assert banned_tokens([-1, 1, 2, 1], size=2) == [2]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    history=st.lists(st.integers(0, 3), max_size=14),
    padding=st.integers(0, 3),
    size=st.integers(1, 5),
)
def test_the_ban_is_what_a_search_through_all_ngrams_finds(history, padding, size):
    ngrams = {tuple(history[i : i + size]) for i in range(len(history) - size + 1)}
    expected = [
        token
        for token in range(4)
        if tuple([*history, token][-size:]) in ngrams and len(history) >= size
    ]
    assert banned_tokens([-1] * padding + history, size, vocabulary=4) == expected


def test_the_prompt_counts_for_ngrams_only_in_full_scope():
    history = torch.tensor([[[1, 2]]])
    search_settings = make_settings(no_repeat_ngram_size=3, repetition_penalty=2.0)
    alone, with_prompt = torch.ones(1, 1, 5), torch.ones(1, 1, 5)
    constrain(alone, NO_PROMPT, history, search_settings)
    constrain(with_prompt, torch.tensor([[-1, 1, 2, 4]]), history, search_settings)
    assert alone.tolist() == [[[1, 0.5, 0.5, 1, 1]]]
    assert with_prompt.tolist() == [[[1, 0.5, 0.5, 1, -torch.inf]]]


def test_end_tokens_are_impossible_below_the_minimum_and_may_be_banned_as_ngrams_above_it():
    search_settings = make_settings(min_new_tokens=2, no_repeat_ngram_size=2)
    for tokens, banned in (([1], [0]), ([1, 2], []), ([1, 0, 1], [0])):
        logits = torch.zeros(1, 1, 3)
        constrain(logits, NO_PROMPT, torch.tensor([[tokens]]), search_settings)
        assert logits.isneginf().nonzero()[:, -1].tolist() == banned
