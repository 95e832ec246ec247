"""`beam_search` as other programs call it, and the page that shows them how."""

import pytest
import torch

from lora_lightning.decoding import beam_search
from lora_lightning.errors import InputError
from tests.decoding.test_runner import QUERIES, VOCABULARY, random_gpt2
from tests.goldens import ROOT
from tests.pages import page_text, run_python

SEARCH = {"num_beams": 4, "max_new_tokens": 10, "no_repeat_ngram_size": 3}


@pytest.fixture(scope="module")
def model():
    return random_gpt2()


def tokens(found):
    return [[hypothesis.tokens for hypothesis in hypotheses] for hypotheses in found]


@pytest.mark.parametrize("batch_size", [1, 2, 5, "auto"])
def test_a_prompts_texts_do_not_depend_on_what_else_is_in_the_batch(model, batch_size):
    alone = [beam_search(model, [prompt], **SEARCH)[0] for prompt in QUERIES]
    for company in (QUERIES, QUERIES[::-1], [*QUERIES, *[[1] * 40] * 3]):
        found = beam_search(model, company, batch_size=batch_size, **SEARCH)
        for prompt, hypotheses in zip(company, found, strict=True):
            if prompt in QUERIES:
                expected = alone[QUERIES.index(prompt)]
                assert tokens([hypotheses]) == tokens([expected])
                scores = [hypothesis.score for hypothesis in expected]
                assert [h.score for h in hypotheses] == pytest.approx(scores, abs=1e-4)


def test_one_beam_is_transformers_greedy_search_and_ends_with_the_models_own_token(model):
    found = beam_search(model, QUERIES, num_beams=1, max_new_tokens=12)
    for prompt, [best, *_] in zip(QUERIES, found, strict=True):
        inputs = torch.tensor([prompt])
        output = model.generate(inputs, attention_mask=torch.ones_like(inputs), do_sample=False,
                                max_new_tokens=12)  # fmt: skip
        assert best.tokens == output[0, len(prompt) :].tolist()


def test_no_prompts_are_no_hypotheses(model):
    assert beam_search(model, [], **SEARCH) == []


@pytest.mark.parametrize(
    ("prompts", "changes", "message"),
    [
        ([[1], []], {}, "query 1 has no tokens"),
        ([[1], [1] * 60], {}, "prompt 1 has 60 tokens"),
        ([[1]], {"end_token_ids": [VOCABULARY]}, "not in the vocabulary"),
        ([[1]], {"num_beams": 0}, "num_beams"),
        ([[1]], {"min_new_tokens": 11}, "min_new_tokens=11 is more than"),
        ([[1]], {"batch_size": 0}, "batch_size=0"),
    ],
)
def test_what_cannot_be_searched_is_one_line(model, prompts, changes, message):
    with pytest.raises(InputError, match=message):
        beam_search(model, prompts, **SEARCH | changes)


def test_a_model_that_trains_is_refused():
    with pytest.raises(InputError, match=r"call model\.eval"):
        beam_search(random_gpt2().train(), [[1]], **SEARCH)


def test_the_examples_of_the_page_run(monkeypatch):
    monkeypatch.chdir(ROOT)
    page = run_python(page_text("decoding.md"))
    assert len(page.texts) == 3
    assert page.sequences.shape[0] == 3
    assert [len(one) for one in page.sequences_and_scores] == [5, 5]
