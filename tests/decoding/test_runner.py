"""Decoding with a small random GPT-2: the cached, batched path against transformers' own logits."""

import logging
import math

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from lora_lightning.decoding import runner
from lora_lightning.decoding.beam import NonFiniteLogitsError
from lora_lightning.decoding.runner import decode_contexts
from lora_lightning.decoding.settings import Sampling
from lora_lightning.errors import InputError
from tests.decoding.search import make_settings, slow_search

VOCABULARY = 40
QUERIES = [
    torch.randint(
        1, VOCABULARY, (length,), generator=torch.Generator().manual_seed(length)
    ).tolist()
    for length in (5, 1, 12, 5, 9, 3, 20)
]
PAPER = make_settings(num_beams=5, max_new_tokens=12, no_repeat_ngram_size=3, num_return=3)
DRAWN = make_settings(
    num_beams=3, max_new_tokens=12, sampling=Sampling(temperature=1.2, top_k=20, top_p=0.9, seed=5)
)


def random_gpt2(attention="sdpa"):
    """A GPT-2 with large random weights, so that its distributions are sharp."""
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=VOCABULARY,
        n_positions=64,
        n_embd=32,
        n_layer=2,
        n_head=4,
        initializer_range=0.3,
        pad_token_id=0,
        bos_token_id=0,
        eos_token_id=0,
        attn_implementation=attention,
    )
    return GPT2LMHeadModel(config).eval()


@pytest.fixture(scope="module")
def model():
    return random_gpt2()


def decode(model, queries, settings, batch_size="auto"):
    results = list(decode_contexts(model, queries, settings, batch_size))
    assert sorted(index for index, _ in results) == list(range(len(queries)))
    return [hypotheses for _, hypotheses in sorted(results, key=lambda result: result[0])]


def assert_equal_results(found, expected):
    for mine, other in zip(found, expected, strict=True):
        assert [h.tokens for h in mine] == [h.tokens for h in other]
        assert [h.score for h in mine] == pytest.approx([h.score for h in other], abs=1e-4)


@pytest.mark.parametrize(
    "settings",
    [
        PAPER,
        make_settings(num_beams=3, max_new_tokens=12, length_penalty=-0.5, repetition_penalty=1.3),
        make_settings(num_beams=4, max_new_tokens=12, min_new_tokens=12, end_token_ids=(0, 7)),
        make_settings(
            num_beams=4, max_new_tokens=12, no_repeat_ngram_size=2, no_repeat_ngram_scope="full"
        ),
    ],
)
def test_equals_a_slow_search_over_logits_without_a_cache(model, settings):
    @torch.inference_mode()
    def logits(prompt, generated):
        return model(torch.tensor([prompt + generated])).logits[0, -1]

    for found, query in zip(decode(model, QUERIES, settings), QUERIES, strict=True):
        expected = slow_search(logits, query, settings)[: settings.num_return]
        assert_equal_results([found[: settings.num_return]], [expected])


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 100])
def test_the_batch_size_changes_nothing(model, batch_size):
    assert_equal_results(
        decode(model, QUERIES, PAPER, batch_size), decode(model, QUERIES, PAPER, "auto")
    )


@pytest.mark.parametrize("batch_size", [1, 3, 4])
def test_steps_that_are_recorded_for_a_full_batch_change_nothing(model, batch_size, monkeypatch):
    # As on a GPU: rows stay at the batch's size, and who is done is asked every few steps.
    expected = decode(model, QUERIES, PAPER)
    monkeypatch.setattr(runner, "STEPS_BETWEEN_CHECKS", {"cpu": 5})
    found = decode(model, QUERIES, PAPER, batch_size)
    assert_equal_results(found, expected)
    assert_equal_results([h[:3] for h in found], [h[:3] for h in expected])


def test_the_result_equals_the_run_to_the_limit(model):
    settings = make_settings(num_beams=5, max_new_tokens=20, end_token_ids=(0, 3, 7, 11))
    # As many hypotheses as this are never found, so none is ever proven before the limit.
    to_the_limit = make_settings(
        num_beams=5, max_new_tokens=20, end_token_ids=(0, 3, 7, 11), num_return=200
    )
    stopped, whole = (decode(model, QUERIES, each) for each in (settings, to_the_limit))
    assert_equal_results([found[:1] for found in stopped], [found[:1] for found in whole])
    assert sum(map(len, stopped)) < sum(map(len, whole))


def test_the_log_probabilities_of_the_tokens_add_up(model):
    for found in decode(model, QUERIES, PAPER):
        for hypothesis in found:
            assert len(hypothesis.token_log_probabilities) == len(hypothesis.tokens)
            total = sum(hypothesis.token_log_probabilities)
            assert total == pytest.approx(hypothesis.log_probability, abs=1e-4)


@pytest.mark.parametrize("batch_size", [1, 3, 7])
def test_what_is_drawn_does_not_depend_on_the_batch_or_the_order(model, batch_size):
    expected = decode(model, QUERIES, DRAWN)
    assert_equal_results(decode(model, QUERIES, DRAWN, batch_size), expected)
    assert_equal_results(decode(model, QUERIES[::-1], DRAWN, batch_size)[::-1], expected)


def test_drawn_texts_differ_are_sorted_and_proven_nothing(model):
    for found in decode(model, QUERIES, DRAWN):
        assert len(found) == 3
        assert len({tuple(hypothesis.tokens) for hypothesis in found}) > 1
        assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)
        assert not any(hypothesis.proven for hypothesis in found)
        assert all(h.tokens[-1] == 0 or h.length == 12 for h in found)


def test_drawing_at_a_low_temperature_is_greedy_search(model):
    cold = Sampling(temperature=1e-4, top_k=0, top_p=1.0, seed=0)
    greedy = decode(model, QUERIES, make_settings(num_beams=1))
    assert_equal_results(decode(model, QUERIES, make_settings(num_beams=1, sampling=cold)), greedy)


def test_a_context_without_any_possible_token_has_an_empty_text(model):
    settings = make_settings(max_new_tokens=5, end_token_ids=tuple(range(VOCABULARY)))
    banned = make_settings(
        max_new_tokens=5, min_new_tokens=5, end_token_ids=tuple(range(VOCABULARY))
    )
    assert all(found[0].length == 1 for found in decode(model, QUERIES, settings))
    for (nothing,) in decode(model, QUERIES, banned, 3):
        assert nothing.tokens == nothing.token_log_probabilities == []
        assert nothing.score == -math.inf


def test_out_of_memory_halves_the_batch_says_so_and_changes_nothing(model, caplog):
    class SmallMemory(GPT2LMHeadModel):
        """A GPT-2 that has memory for two contexts at a time, and names how many came."""

        def get_output_embeddings(self):
            head = super().get_output_embeddings()

            def limited(hidden):
                if len(hidden) > 2 and hidden.dim() == 3:
                    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")
                return head(hidden)

            return limited

    small = SmallMemory(model.config)
    small.load_state_dict(model.state_dict())
    with caplog.at_level(logging.WARNING):
        found = decode(small, QUERIES, PAPER, batch_size=7)
    assert_equal_results(found, decode(model, QUERIES, PAPER))
    sizes = [record.args[0] for record in caplog.records if record.msg.startswith("out of memory")]
    assert sizes == [3, 1]


def test_memory_for_not_even_one_context_is_an_error(model):
    class NoMemory(GPT2LMHeadModel):
        def get_output_embeddings(self):
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9 bytes")

    with pytest.raises(InputError, match="one context at a time"):
        decode(NoMemory(model.config), QUERIES, PAPER)


def test_the_order_changes_nothing(model):
    assert_equal_results(
        decode(model, QUERIES[::-1], PAPER, 3)[::-1], decode(model, QUERIES, PAPER, 3)
    )


def test_eager_attention_gives_the_same(model):
    assert_equal_results(
        decode(random_gpt2("eager"), QUERIES, PAPER), decode(model, QUERIES, PAPER)
    )


def test_one_beam_is_transformers_greedy_search(model):
    settings = make_settings(num_beams=1, max_new_tokens=15)
    for (best, *_), query in zip(decode(model, QUERIES, settings), QUERIES, strict=True):
        tokens = torch.tensor([query])
        greedy = model.generate(
            tokens,
            attention_mask=torch.ones_like(tokens),
            do_sample=False,
            max_new_tokens=15,
            pad_token_id=0,
        )
        assert best.tokens == greedy[0, len(query) :].tolist()


def test_bfloat16_decodes_to_finite_scores():
    for found in decode(random_gpt2().bfloat16(), QUERIES, PAPER, 3):
        assert all(math.isfinite(hypothesis.score) for hypothesis in found)


def test_no_queries_give_no_results(model):
    assert list(decode_contexts(model, [], PAPER, "auto")) == []


def test_results_come_as_queries_finish(model):
    first = next(decode_contexts(model, QUERIES, PAPER, 2))
    assert first[1][0].proven


def test_dropout_is_off_while_decoding():
    model = random_gpt2()
    expected = decode(model, QUERIES, PAPER)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    assert_equal_results(decode(model.train(), QUERIES, PAPER), expected)


def test_broken_weights_are_reported_with_the_index_of_the_query():
    model = random_gpt2()
    with torch.no_grad():
        model.transformer.wte.weight[QUERIES[4][0]] = math.nan
    with pytest.raises(NonFiniteLogitsError, match=r"query \d, step 0"):
        decode(model, QUERIES, PAPER)


@pytest.mark.parametrize(
    ("queries", "settings", "batch_size", "message"),
    [
        ([[1], []], PAPER, 2, "query 1 has no tokens"),
        ([[1]], make_settings(end_token_ids=(0, 40)), 2, "eos_token_ids: 40"),
        ([[1]], PAPER, 0, "generation.batch_size=0"),
    ],
)
def test_bad_input_is_refused(model, queries, settings, batch_size, message):
    with pytest.raises(InputError, match=message):
        decode(model, queries, settings, batch_size)
