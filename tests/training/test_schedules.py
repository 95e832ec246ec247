"""The schedules: the reference's rates at every call, through torch's LambdaLR."""

import json
import logging
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lora_lightning.errors import InputError
from lora_lightning.training.schedules import (
    ConstantSchedule,
    CosineSchedule,
    CyclicSchedule,
    LinearSchedule,
    Schedule,
    build_schedule,
    cosine_factor,
    cyclic_rate,
    linear_factor,
)
from tests.goldens import golden

FIXTURE = Path(__file__).parent / "fixtures" / "schedules.jsonl"
WARMUP_SCHEDULES = (ConstantSchedule, LinearSchedule, CosineSchedule)


def make_optimizer(lr: float) -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)


def rates(schedule: Schedule, lr: float, total_steps: int, calls: int) -> list[float]:
    """The rate in force at call t = 0, 1, …"""
    optimizer = make_optimizer(lr)
    scheduler = build_schedule(optimizer, schedule, total_steps)
    used = []
    for _ in range(calls):
        used.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return used


def schedule_of(record: dict) -> Schedule:
    warmup = record["warmup_step"]
    if record["scheduler"] == "cycle":
        steps = [int(step) for step in record["i_steps"].split(",")]
        lrs = [float(lr) for lr in record["i_lrs"].split(",")]
        return CyclicSchedule("micro_step", steps, lrs)
    kinds = {"linear": LinearSchedule, "cosine": CosineSchedule, "constant": ConstantSchedule}
    return kinds[record["scheduler"]]("micro_step", warmup)


def follow(file: Path) -> None:
    records = [json.loads(line) for line in file.read_text().splitlines()]
    for record in records:
        schedule, used = schedule_of(record), record["lr_used"]
        total = schedule.run_steps or record["max_step_given"]
        assert total == record["max_step_after"]
        ours = rates(schedule, record["lr"], total, len(used))
        assert ours == pytest.approx(used, abs=1e-12, rel=0), record["scheduler"]


def test_the_references_rates_of_the_fixture():
    follow(FIXTURE)


def test_the_references_rates():
    follow(golden("optimizer", "schedules.jsonl"))


def test_linear_with_warmup_starts_at_zero_and_without_at_the_peak():
    assert rates(LinearSchedule(warmup_steps=2), 1.0, 4, 6) == [0, 0.5, 1, 0.5, 0, 0]
    assert rates(LinearSchedule(), 1.0, 4, 6) == [1, 0.75, 0.5, 0.25, 0, 0]


def test_cosine_starts_at_zero_even_without_warmup():
    assert rates(CosineSchedule(), 1.0, 4, 2)[0] == 0
    assert rates(CosineSchedule(), 1.0, 4, 2)[1] > 0.8


def test_cosine_counts_from_the_first_step_so_it_jumps_at_the_end_of_warmup():
    factors = [cosine_factor(t, 2, 4) for t in range(6)]
    assert factors == pytest.approx([0, 0.5, 0.5, 0.1464466, 0, 0])


def test_cyclic_outside_its_intervals_has_the_last_rate_but_the_first_at_call_zero():
    assert [cyclic_rate(t, [4, 10], [0.1, 0.7]) for t in (0, 1, 3, 10, 99)] == [0.1] + [0.7] * 4


def test_cyclic_sets_the_length_of_the_run_and_its_own_rates():
    schedule = CyclicSchedule("optimizer_step", [0, 5, 8], [0.0, 0.4, 0.1])
    assert schedule.run_steps == 8
    assert rates(schedule, 7.0, 8, 9)[::4] == pytest.approx([0, 0.32, 0.1], abs=1e-6)


def test_cyclic_needs_a_rate_to_multiply():
    with pytest.raises(InputError, match=r"optimizer\.lr=0"):
        rates(CyclicSchedule("optimizer_step", [0, 5], [0.1, 0.2]), 0.0, 5, 1)


@pytest.mark.parametrize("kind", WARMUP_SCHEDULES)
def test_other_schedules_leave_the_length_to_the_run(kind):
    assert kind().run_steps is None


@pytest.mark.parametrize("kind", [LinearSchedule, CosineSchedule])
def test_a_total_of_its_own_stands_in_for_the_runs_length(kind):
    own, runs = kind(total_steps=6), kind()
    assert rates(own, 1.0, 100, 8) == rates(runs, 1.0, 6, 8)


@settings(max_examples=50, deadline=None)
@given(
    t=st.integers(0, 300),
    warmup=st.integers(0, 100),
    total=st.integers(1, 200),
    kind=st.sampled_from(WARMUP_SCHEDULES),
)
def test_a_share_of_the_peak_that_the_end_of_the_run_finds_at_zero(t, warmup, total, kind):
    schedule = kind(warmup_steps=warmup)
    assert 0 <= schedule.factor(t, 1.0, total) <= 1
    if kind is not ConstantSchedule and t >= max(total, warmup):
        assert schedule.factor(t, 1.0, total) == pytest.approx(0, abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(warmup=st.integers(1, 50), total=st.integers(1, 50))
def test_all_warmups_rise_by_equal_steps(warmup, total):
    for kind in WARMUP_SCHEDULES:
        factors = [kind(warmup_steps=warmup).factor(t, 1.0, total) for t in range(warmup)]
        assert factors == [t / warmup for t in range(warmup)]


def test_a_warmup_longer_than_the_run_only_rises_and_warns_once(caplog):
    with caplog.at_level(logging.WARNING):
        used = rates(LinearSchedule(warmup_steps=8), 1.0, 4, 5)
    assert used == [linear_factor(t, 8, 4) for t in range(5)] == [0, 0.125, 0.25, 0.375, 0.5]
    (record,) = caplog.records
    assert "scheduler.warmup_steps=8" in record.getMessage()


def test_a_warmup_as_long_as_the_run_does_not_warn(caplog):
    with caplog.at_level(logging.WARNING):
        rates(LinearSchedule(warmup_steps=4), 1.0, 4, 5)
    assert not caplog.records


def test_it_goes_on_from_a_checkpoint():
    schedule = LinearSchedule(warmup_steps=2)
    first, second = make_optimizer(0.3), make_optimizer(0.3)
    scheduler = build_schedule(first, schedule, 9)
    for _ in range(4):
        first.step()
        scheduler.step()
    resumed = build_schedule(second, schedule, 9)
    second.load_state_dict(first.state_dict())
    resumed.load_state_dict(scheduler.state_dict())
    used = []
    for _ in range(4, 9):
        used.append(second.param_groups[0]["lr"])
        second.step()
        resumed.step()
    assert used == rates(schedule, 0.3, 9, 9)[4:]


def test_each_group_keeps_its_own_base_rate():
    slow, fast = (torch.nn.Parameter(torch.zeros(1)) for _ in range(2))
    optimizer = torch.optim.SGD([{"params": [slow], "lr": 0.1}, {"params": [fast], "lr": 1.0}])
    scheduler = build_schedule(optimizer, LinearSchedule(), 4)
    optimizer.step()
    scheduler.step()
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.075, 0.75])
