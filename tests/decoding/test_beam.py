"""Beam search over toy vocabularies, against a slow search that shares no code with it."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lora_lightning.decoding.beam import NonFiniteLogitsError, advance, is_done, start
from lora_lightning.decoding.hypotheses import hypotheses_of
from lora_lightning.errors import InputError
from tests.decoding.search import make_settings, search, slow_search, toy_model

CPU = torch.device("cpu")


def markov(table):
    """A model whose next-token probabilities depend on the newest token alone."""
    logits = torch.tensor(table, dtype=torch.float).log()
    return lambda prompt, generated: logits[(generated or prompt)[-1]].clone()


def assert_same(found, expected, num_return):
    assert len(found) >= min(num_return, len(expected))
    for mine, other in zip(found[:num_return], expected, strict=False):
        assert mine.tokens == other.tokens
        assert mine.length == other.length
        assert mine.score == pytest.approx(other.score, abs=1e-4)
        assert mine.log_probability == pytest.approx(other.log_probability, abs=1e-4)
        assert mine.proven


@settings(max_examples=250, deadline=None, derandomize=True)
@given(data=st.data())
def test_equals_a_slow_search_that_runs_to_the_limit(data):
    vocabulary = data.draw(st.integers(2, 7), "vocabulary")
    limit = data.draw(st.integers(1, 9), "max_new_tokens")
    search_settings = make_settings(
        num_beams=data.draw(st.integers(1, 6), "num_beams"),
        max_new_tokens=limit,
        min_new_tokens=data.draw(st.integers(0, limit), "min_new_tokens"),
        length_penalty=data.draw(st.sampled_from([-1, -0.3, 0, 0.4, 0.8, 1, 2, 3]), "penalty"),
        no_repeat_ngram_size=data.draw(st.integers(0, 4), "no_repeat_ngram_size"),
        no_repeat_ngram_scope=data.draw(st.sampled_from(["generated", "full"]), "scope"),
        repetition_penalty=data.draw(st.sampled_from([1.0, 1.3, 0.7]), "repetition_penalty"),
        end_token_ids=data.draw(st.sampled_from([(0,), (0, 1), ()]), "end_token_ids"),
        num_return=data.draw(st.integers(1, 8), "num_return"),
    )
    model = toy_model(
        seed=data.draw(st.integers(0, 2**31), "seed"),
        vocabulary=vocabulary,
        impossible=data.draw(st.sampled_from([0.0, 0.0, 0.3]), "impossible"),
    )
    prompt = st.lists(st.integers(0, vocabulary - 1), min_size=1, max_size=6)
    prompts = data.draw(st.lists(prompt, min_size=1, max_size=4), "prompts")

    found, _ = search(model, prompts, search_settings)

    for hypotheses_of_query, query in zip(found, prompts, strict=True):
        expected = slow_search(model, query, search_settings)
        assert_same(hypotheses_of_query, expected, search_settings.num_return)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**31),
    penalty=st.floats(-1, 3),
    num_return=st.integers(1, 3),
    num_beams=st.integers(1, 4),
)
def test_stopping_early_changes_nothing_under_any_length_penalty(
    seed, penalty, num_return, num_beams
):
    likely_end = toy_model(seed, vocabulary=6)

    def model(prompt, generated):
        return likely_end(prompt, generated) + torch.tensor([3.0, 0, 0, 0, 0, 0])

    search_settings = make_settings(
        length_penalty=penalty, num_return=num_return, num_beams=num_beams, max_new_tokens=15
    )
    (found,), _ = search(model, [[1]], search_settings)
    assert_same(found, slow_search(model, [1], search_settings), num_return)


@pytest.mark.parametrize("penalty", [-1.0, 0.0, 0.8])
def test_a_query_stops_as_soon_as_no_live_beam_can_win(penalty):
    model = markov([[0.9, 0.05, 0.05], [0.99, 0.005, 0.005], [0.98, 0.01, 0.01]])
    (found,), (steps,) = search(
        model, [[1]], make_settings(num_beams=2, length_penalty=penalty, max_new_tokens=50)
    )
    assert found[0].tokens == [0]
    assert steps < 20


def test_more_hypotheses_to_return_take_longer_to_prove():
    model = markov([[0.9, 0.05, 0.05], [0.9, 0.06, 0.04], [0.8, 0.11, 0.09]])
    steps = [
        search(model, [[1]], make_settings(num_return=number, max_new_tokens=40))[1][0]
        for number in (1, 4, 8)
    ]
    assert steps[0] < steps[1] < steps[2]


def test_only_the_returned_hypotheses_are_proven_and_all_are_sorted():
    (found,), _ = search(toy_model(3, 6), [[1]], make_settings(num_beams=5, num_return=2))
    assert [hypothesis.proven for hypothesis in found] == [True, True, False, False, False]
    assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)


def test_an_ended_beam_uses_up_its_slot_for_one_step_and_a_live_beam_refills_it():
    model = markov([[1, 0, 0], [0.5, 0.3, 0.2], [0.1, 0.5, 0.4]])
    first, _ = advance(
        start([0], [[1]], make_settings(num_beams=2), CPU),
        model([1], [])[None, None],
        make_settings(num_beams=2),
    )
    assert first.tokens[..., :1].tolist() == [[[0], [1]]]  # token 2, third best, has no slot
    assert first.scores.tolist() == [[-math.inf, pytest.approx(math.log(0.3))]]

    logits = torch.stack([model([1], beam) for beam in first.tokens[0, :, :1].tolist()])[None]
    second, parents = advance(first, logits, make_settings(num_beams=2))
    assert parents.tolist() == [[1, 1]]
    assert second.tokens[..., :2].tolist() == [[[1, 0], [1, 1]]]


def test_beams_at_the_limit_enter_without_an_end_token_and_with_full_length():
    model = markov([[1, 0, 0], [0.01, 0.6, 0.39], [0.02, 0.5, 0.48]])
    (found,), _ = search(model, [[1]], make_settings(max_new_tokens=3, length_penalty=1.0))
    assert found[0].tokens == [1, 1, 1]
    assert found[0].score == pytest.approx(math.log(0.6))


def test_a_beam_that_ends_at_the_limit_counts_once():
    (found,), _ = search(
        markov([[1, 0], [0.6, 0.4]]), [[1]], make_settings(num_beams=2, max_new_tokens=1)
    )
    assert [h.tokens for h in found] == [[0], [1]]


def test_the_earlier_of_two_equal_scores_stays_first():
    # Both ways have probability 1/2; without a length penalty the scores are equal.
    model = markov([[1, 0, 0], [0.5, 0, 0.5], [1, 0, 0]])
    (found,), _ = search(model, [[1]], make_settings(num_beams=2, length_penalty=0.0))
    assert [h.tokens for h in found] == [[0], [2, 0]]


def test_the_length_in_the_score_counts_the_end_token():
    (found,), _ = search(markov([[1, 0], [0.25, 0.75]]), [[1]], make_settings(num_beams=1))
    assert found[0].length == len(found[0].tokens)
    assert found[0].score == pytest.approx(found[0].log_probability / found[0].length ** 0.8)


@pytest.mark.parametrize("minimum", [1, 3, 8])
def test_the_shortest_output_has_one_token_more_than_the_minimum(minimum):
    always_end = markov([[0.999, 0.001]] * 2)
    search_settings = make_settings(min_new_tokens=minimum, length_penalty=0.0)
    (found,), _ = search(always_end, [[1]], search_settings)
    assert found[0].length == min(minimum + 1, search_settings.max_new_tokens)
    assert (0 in found[0].tokens) == (minimum < search_settings.max_new_tokens)


def test_more_beams_than_the_vocabulary_has_continuations_are_no_problem():
    model = toy_model(1, vocabulary=3)
    search_settings = make_settings(num_beams=20, max_new_tokens=4, num_return=30)
    (found,), _ = search(model, [[2]], search_settings)
    assert_same(found, slow_search(model, [2], search_settings), 30)


def test_a_query_with_no_possible_token_yields_an_empty_text_at_once_and_no_nan():
    banned = make_settings(no_repeat_ngram_size=1, end_token_ids=(), max_new_tokens=5)
    results, steps = search(toy_model(2, vocabulary=2), [[1], [0]], banned)
    for (hypothesis,) in results:
        assert hypothesis.tokens == []
        assert hypothesis.score == hypothesis.log_probability == -math.inf
    assert steps == [3, 3]  # two tokens, then nothing is left


def test_a_query_whose_beams_all_die_yields_the_best_finished():
    model = markov([[1, 0, 0], [0.2, 0.5, 0.3], [0.2, 0.3, 0.5]])
    (found,), (steps,) = search(model, [[1]], make_settings(no_repeat_ngram_size=1))
    assert all(hypothesis.tokens[-1] == 0 for hypothesis in found)
    assert all(math.isfinite(hypothesis.score) for hypothesis in found)
    assert steps == 3


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_logits_that_are_no_numbers_stop_the_search_naming_query_and_step(broken):
    good = toy_model(5, vocabulary=4)

    def model(prompt, generated):
        logits = good(prompt, generated)
        if prompt == [2] and len(generated) == 2:
            logits[3] = broken
        return logits

    with pytest.raises(NonFiniteLogitsError, match="query 1, step 2") as caught:
        search(model, [[1], [2]], make_settings(end_token_ids=()))
    assert (caught.value.query, caught.value.step) == (1, 2)


def test_scores_are_made_in_single_precision_from_bfloat16_logits():
    state = start([0], [[1]], make_settings(), CPU)
    logits = torch.randn(1, 1, 50, generator=torch.Generator().manual_seed(0)).bfloat16()
    state, _ = advance(state, logits.clone(), make_settings())
    expected = logits.float().log_softmax(-1).flatten().topk(4).values
    torch.testing.assert_close(state.scores[0], expected)


def test_an_empty_batch_has_no_hypotheses():
    state = start([0], [[1]], make_settings(), CPU).select(torch.tensor([], dtype=torch.int64))
    assert hypotheses_of(state.finished, make_settings()) == []
    assert is_done(state).tolist() == []


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"num_beams": 0}, "num_beams=0"),
        ({"max_new_tokens": 0}, "max_new_tokens=0"),
        ({"min_new_tokens": 9}, "min_new_tokens=9.*max_new_tokens=8"),
        ({"min_new_tokens": -1}, "min_new_tokens=-1"),
        ({"no_repeat_ngram_size": -1}, "no_repeat_ngram_size=-1"),
        ({"no_repeat_ngram_scope": "prompt"}, "no_repeat_ngram_scope=prompt"),
        ({"repetition_penalty": 0.0}, "repetition_penalty=0"),
        ({"num_return": 0}, "num_return=0"),
    ],
)
def test_a_setting_out_of_range_is_refused_with_its_key(change, key):
    with pytest.raises(InputError, match=f"generation.{key}"):
        make_settings(**change)
