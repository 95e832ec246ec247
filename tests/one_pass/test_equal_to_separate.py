"""Trainings side by side come to what each comes to by itself."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from hypothesis import HealthCheck, given
from hypothesis import settings as given_settings
from hypothesis import strategies as st
from peft import AdaLoraConfig, IA3Config, LNTuningConfig, LoraConfig, VeraConfig

from lora_lightning.errors import Interrupted
from lora_lightning.gpt2.projection import GPT2Projection
from lora_lightning.methods.dora import DoRA
from lora_lightning.methods.lora_method import LoRA
from lora_lightning.methods.peft_method import PEFT
from lora_lightning.methods.rslora import RSLoRA
from lora_lightning.one_pass import engine
from lora_lightning.one_pass.engine import Pass
from lora_lightning.training import parts
from lora_lightning.training.seat import SEAT
from tests.methods.models import TARGETS
from tests.one_pass.trainings import Settings, alone, side_by_side, training

TOLERANCE = 1e-5
METHODS = st.builds(
    lambda kind, init, **given: kind(**given, init="kaiming" if kind is DoRA else init),
    st.sampled_from([LoRA, LoRA, RSLoRA, DoRA]),
    st.sampled_from(["kaiming", "gaussian", "pissa"]),
    rank=st.integers(1, 4),
    alpha=st.sampled_from([4, 32]),
    dropout=st.sampled_from([0.0, 0.1, 0.5]),
    targets=st.sampled_from(TARGETS),
    bias=st.sampled_from(["none", "none", "lora_only", "all"]),
)
OF_PEFT = st.sampled_from(
    [
        lambda: VeraConfig(r=4, target_modules=["c_attn"], vera_dropout=0.3),
        lambda: IA3Config(target_modules=["c_attn", "c_proj"], feedforward_modules=["c_proj"]),
        lambda: LoraConfig(r=2, target_modules=["c_attn", "c_fc"], lora_dropout=0.2),
        lambda: LoraConfig(r=2, target_modules=["c_attn"], use_dora=True),
        lambda: AdaLoraConfig(init_r=3, target_r=2, target_modules=["c_attn"], total_step=9),
        lambda: LNTuningConfig(target_modules=["ln_1", "ln_f"]),
    ]
).map(lambda make: PEFT(make()))
JOBS = st.lists(
    st.builds(
        Settings,
        method=st.one_of(METHODS, METHODS, OF_PEFT),
        optimizer=st.sampled_from([torch.optim.AdamW, torch.optim.SGD]),
        lr=st.sampled_from([1e-3, 1e-2]),
        seed=st.integers(0, 9),
        rows=st.integers(1, 3),
        updates=st.integers(1, 4),
        accumulate=st.integers(1, 2),
        smoothing=st.sampled_from([0.0, 0.1]),
        clip=st.sampled_from([0.0, 0.1]),
        validates=st.booleans(),
    ),
    min_size=2,
    max_size=5,
)
LORA = LoRA(rank=2, alpha=8, dropout=0.1, targets=["q", "v"])


def check_equal(together, by_itself):
    assert together.losses == pytest.approx(by_itself.losses, abs=TOLERANCE)
    assert together.validated == pytest.approx(by_itself.validated, abs=TOLERANCE)
    assert torch.equal(together.random, by_itself.random)
    assert together.adapter.keys() == by_itself.adapter.keys()
    for name, tensor in by_itself.adapter.items():
        trained = together.adapter[name]
        if name.endswith("c_attn.bias"):  # k's has no gradient but rounding, which Adam makes large
            trained, tensor = queries_and_values(trained), queries_and_values(tensor)
        assert torch.allclose(trained, tensor, rtol=0, atol=TOLERANCE), name


def queries_and_values(bias):
    query, _, value = bias.chunk(3)
    return torch.cat([query, value])


def rows_of_products(monkeypatch):
    """Return a list that gets the number of rows of each product of the base."""
    rows = []
    product = GPT2Projection.product

    def counted(self, x, **settings):
        rows.append(len(x))
        return product(self, x, **settings)

    monkeypatch.setattr(GPT2Projection, "product", counted)
    return rows


PARTS = st.sampled_from([20, parts.TOKENS_AT_ONCE])


@given(JOBS, st.sampled_from([None, 1, 2]), st.sampled_from([20, 4096]), PARTS, st.booleans())
@given_settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_set_of_jobs_trains_as_each_job_alone(
    jobs, at_once, tokens_at_once, tokens_of_a_part, checkpoints
):
    jobs = [replace(settings, checkpoints=checkpoints) for settings in jobs]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "TOKENS_AT_ONCE", tokens_at_once)
        patch.setattr(parts, "TOKENS_AT_ONCE", tokens_of_a_part)
        together = side_by_side(jobs, at_once)
        for settings, trained in zip(jobs, together, strict=True):
            check_equal(trained, alone(settings))


def test_the_base_is_there_once_whatever_the_jobs_add():
    one, other = side_by_side([Settings(LORA), Settings(replace(LORA, targets=["c_proj"]))])
    for name in ("wte", "h.0.mlp.c_fc", "ln_f", "h.1.ln_1"):
        first, second = (t.model.transformer.get_submodule(name).weight for t in (one, other))
        assert first.data_ptr() == second.data_ptr()


@pytest.mark.parametrize(
    "methods",
    [
        (LORA, replace(LORA, rank=4)),
        tuple(PEFT(VeraConfig(r=r, target_modules=["c_attn"], init_weights=True)) for r in (2, 4)),
    ],
)
def test_the_frozen_product_of_jobs_of_other_ranks_is_one(methods, monkeypatch):
    rows = rows_of_products(monkeypatch)
    jobs = [Settings(method, updates=1, seed=seed) for seed, method in enumerate(methods)]
    side_by_side(jobs)
    together, calls = sum(rows), len(rows)
    rows.clear()
    for settings in jobs:
        alone(settings)
    assert (sum(rows), len(rows)) == (together, 2 * calls)


def test_gradient_checkpointing_computes_the_joint_blocks_again_with_the_same_dropout(monkeypatch):
    calls = rows_of_products(monkeypatch)
    jobs = [Settings(replace(LORA, dropout=0.5), seed=seed) for seed in (3, 4)]
    plain = side_by_side(jobs)
    products = len(calls)
    again = side_by_side([replace(settings, checkpoints=True) for settings in jobs])
    assert len(calls) - products > 1.5 * products
    for trained, expected in zip(again, plain, strict=True):
        assert trained.losses == expected.losses
        check_equal(trained, expected)


def test_a_base_that_a_job_changed_stays_its_own():
    changed = Settings(LORA)

    def train_on_another_base():
        seat = SEAT.get()
        take = seat.take

        def change_then_take(model, device):
            model.transformer.h[0].mlp.c_fc.weight.data += 0.1
            take(model, device)

        seat.take = change_then_take
        return training(changed)()

    plain, other = Pass([training(changed), train_on_another_base]).run()
    check_equal(plain, alone(changed))
    assert other.losses[0] != pytest.approx(plain.losses[0], abs=1e-3)


def test_a_layer_that_fails_ends_its_job_alone():
    class Failing(Exception):
        pass

    def train_and_fail():
        seat = SEAT.get()
        take = seat.take

        def take_and_break(model, device):
            take(model, device)

            def fail(*_):
                raise Failing

            model.transformer.h[1].attn.c_attn.forward = fail

        seat.take = take_and_break
        with pytest.raises(Failing):
            training(Settings(LORA))()
        return "failed"

    settings = Settings(LORA, seed=3)
    failed, trained = Pass([train_and_fail, training(settings)]).run()
    assert failed == "failed"
    check_equal(trained, alone(settings))


def test_what_ends_the_process_in_one_job_ends_the_others_too():
    ended = []

    def train(number, run):
        try:
            return run()
        except BaseException as error:
            ended.append((number, type(error)))
            raise

    def exits():
        training(Settings(LORA, updates=1))()
        raise SystemExit(3)

    runs = [partial(train, 0, training(Settings(LORA, updates=50))), partial(train, 1, exits)]
    with pytest.raises(SystemExit) as raised:
        Pass([*runs, partial(train, 2, exits)], at_once=2).run()
    assert raised.value.code == 3
    assert ended == [(1, SystemExit), (0, Interrupted)]
