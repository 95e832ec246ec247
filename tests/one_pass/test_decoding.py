"""Decodings side by side come to what each comes to by itself."""

from dataclasses import replace
from functools import partial

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as given_settings
from hypothesis import strategies as st

from lora_lightning.decoding.beam import NonFiniteLogitsError
from lora_lightning.decoding.seat import DECODING_SEAT
from lora_lightning.decoding.settings import Sampling
from lora_lightning.errors import InputError
from lora_lightning.gpt2.projection import GPT2Projection
from lora_lightning.methods.dora import DoRA
from lora_lightning.methods.lora_method import LoRA
from lora_lightning.methods.rslora import RSLoRA
from lora_lightning.one_pass.engine import Pass
from tests.decoding.search import make_settings
from tests.methods.models import TARGETS
from tests.one_pass.decodings import (
    QUERIES,
    SEARCH,
    Settings,
    alone,
    decoding,
    model_of,
    side_by_side,
)

LORA = LoRA(rank=2, alpha=8, dropout=0.1, targets=["q", "v"])
DRAWN = make_settings(
    num_beams=3, max_new_tokens=6, sampling=Sampling(temperature=1.0, top_k=0, top_p=1.0, seed=3)
)
METHODS = st.builds(
    lambda kind, **given: kind(**given),
    st.sampled_from([LoRA, LoRA, RSLoRA, DoRA]),
    rank=st.integers(1, 4),
    alpha=st.sampled_from([4, 32]),
    dropout=st.just(0.5),
    targets=st.sampled_from(TARGETS),
    bias=st.sampled_from(["none", "none", "lora_only", "all"]),
)
JOBS = st.lists(
    st.builds(
        Settings,
        method=METHODS,
        seed=st.integers(0, 9),
        queries=st.sampled_from([QUERIES, QUERIES[2:], QUERIES[:1]]),
        search=st.sampled_from([SEARCH, SEARCH, DRAWN]),
        batch_size=st.sampled_from(["auto", "auto", 2]),
        packing=st.booleans(),
    ),
    min_size=2,
    max_size=5,
)


def check_equal(together, by_itself):
    assert together.keys() == by_itself.keys()
    for query, hypotheses in by_itself.items():
        assert [h.tokens for h in together[query]] == [h.tokens for h in hypotheses]
        scores = [h.score for h in hypotheses]
        assert [h.score for h in together[query]] == pytest.approx(scores, abs=1e-4)


@given(JOBS, st.sampled_from([None, 1, 2]))
@given_settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_set_of_jobs_decodes_as_each_job_alone(jobs, at_once):
    for settings, found in zip(jobs, side_by_side(jobs, at_once), strict=True):
        check_equal(found, alone(settings))


def test_the_frozen_products_of_a_step_are_one_whoever_decodes(monkeypatch):
    rows = []
    forward = GPT2Projection.forward

    def counted(self, x):
        rows.append(x.shape[:-1].numel())
        return forward(self, x)

    monkeypatch.setattr(GPT2Projection, "forward", counted)
    jobs = [Settings(LORA), Settings(replace(LORA, rank=4, targets=["k", "mlp.c_fc"]), seed=1)]
    side_by_side(jobs)
    together, calls = sum(rows), len(rows)
    rows.clear()
    for settings in jobs:
        alone(settings)
    assert together == sum(rows)
    assert calls < 0.6 * len(rows)


def test_a_model_whose_numbers_overflow_ends_its_job_alone():
    def overflow(model):
        layer = model.transformer.h[1].attn.c_attn
        layer.lora_B.data.fill_(float("inf"))

    settings = Settings(LORA, seed=3)
    jobs = [decoding(Settings(LORA), overflow), decoding(settings)]
    broken, found = Pass([partial(outcome, job) for job in jobs]).run()
    assert isinstance(broken, NonFiniteLogitsError)
    assert broken.query < len(QUERIES)
    check_equal(found, alone(settings))


def outcome(job):
    try:
        return job()
    except Exception as error:
        return error


def test_a_layer_that_fails_ends_its_job_alone():
    class Failing(Exception):
        pass

    class FailingLayer(type(LORA).layer_type):
        def forward(self, x):
            raise Failing

    def break_layer(model):
        model.transformer.h[1].attn.c_attn.__class__ = FailingLayer

    settings = Settings(LORA, seed=3)
    jobs = [decoding(Settings(LORA), break_layer), decoding(settings)]
    failed, found = Pass([partial(outcome, job) for job in jobs]).run()
    assert isinstance(failed, Failing)
    check_equal(found, alone(settings))


def test_a_job_that_ends_before_its_texts_leaves_the_others_theirs():
    def take_one():
        queries = list(map(list, QUERIES))
        search = DECODING_SEAT.get().decode
        return next(search(model_of(Settings(LORA)), queries, SEARCH, "auto", None, False))

    settings = Settings(LORA, seed=3)
    (query, hypotheses), others = Pass([take_one, decoding(settings)]).run()
    assert hypotheses[0].tokens == alone(Settings(LORA))[query][0].tokens
    check_equal(others, alone(settings))


def test_what_cannot_be_searched_for_is_refused_in_its_own_job():
    wrong = Settings(LORA, search=replace(SEARCH, end_token_ids=(50,)))
    refused, found = Pass([partial(outcome, decoding(s)) for s in (wrong, Settings(LORA))]).run()
    assert isinstance(refused, InputError)
    check_equal(found, alone(Settings(LORA)))
