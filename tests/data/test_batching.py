"""Which rows a run sees, in which order, also after it was interrupted."""

import gzip
import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lora_lightning.data.batching import (
    InOrderBatchSampler,
    ReferenceBatchSampler,
    collate,
    number_of_batches,
)
from lora_lightning.data.encoding import EncodedExample, make_row
from tests.goldens import golden

FIXTURE = Path(__file__).parent / "fixtures" / "row_order.jsonl"


def sampler_like(record: dict) -> ReferenceBatchSampler:
    """Make the sampler for a golden record: training counts epochs from 1, the others stay at 0."""
    training = record["split"] == "train"
    return ReferenceBatchSampler(
        size=record["size"],
        batch_size=record["batch_size"],
        world_size=record["world"],
        rank=record["rank"],
        seed=record["seed"],
        drop_last=training,
        fixed_epoch=None if training else 0,
    )


def identify(record: dict) -> str:
    return "-".join(str(record[key]) for key in ("split", "size", "world", "rank"))


@pytest.mark.parametrize(
    "record", [json.loads(line) for line in FIXTURE.read_text().splitlines()], ids=identify
)
def test_the_order_of_rows_equals_the_reference_pass_after_pass(record):
    sampler = sampler_like(record)
    assert [list(sampler) for _ in record["passes"]] == record["passes"]
    assert all(len(batches) == len(sampler) for batches in record["passes"])
    assert number_of_batches(record["size"], record["batch_size"]) == record["num_batches"]


def test_every_golden_order_is_reproduced():
    with gzip.open(golden("data", "row_order.jsonl.gz"), "rt") as lines:
        for line in lines:
            record = json.loads(line)
            sampler = sampler_like(record)
            for expected in record["passes"]:
                assert list(sampler) == expected["batches"], identify(record)


@pytest.mark.parametrize(
    "run", ["a_readme", "b_accumulate_clip_cosine", "c_jlm_constant", "g_two_ranks"]
)
def test_the_golden_runs_trained_and_validated_on_these_rows(run):
    folder = golden("lora", run)
    record = json.loads((folder / "run.json").read_text())
    run_settings = record["settings"]
    sizes = {
        split: len((folder / f"{split}_rows.jsonl").read_text().splitlines())
        for split in ("train", "valid")
    }
    common = {
        "world": run_settings.get("world_size", 1),
        "rank": 0,
        "seed": run_settings["random_seed"],
    }
    batch_size = run_settings["train_batch_size"]
    training = sampler_like(
        {"split": "train", "size": sizes["train"], "batch_size": batch_size, **common}
    )
    steps = [json.loads(line) for line in (folder / "steps.jsonl").read_text().splitlines()]
    seen = [batch for _ in range(record["epochs_run"]) for batch in training]
    assert seen[: len(steps)] == [step["ids"] for step in steps]
    batch_size = run_settings["valid_batch_size"]
    validation = sampler_like(
        {"split": "valid", "size": sizes["valid"], "batch_size": batch_size, **common}
    )
    assert list(validation) == record["valid_batches_before"]
    assert list(validation) == record["valid_batches_after"]


@settings(max_examples=50, deadline=None)
@given(
    size=st.integers(1, 20),
    batch_size=st.integers(1, 6),
    world_size=st.integers(1, 3),
    rank=st.integers(0, 2),
    shuffle=st.booleans(),
    stop=st.integers(0, 25),
)
def test_an_interrupted_run_sees_the_rows_it_would_have_seen(
    size, batch_size, world_size, rank, shuffle, stop
):
    rank %= world_size

    def make():
        if shuffle:
            return ReferenceBatchSampler(size, batch_size, world_size, rank, seed=3, drop_last=True)
        return InOrderBatchSampler(size, batch_size, world_size, rank, in_step=True)

    def run(sampler, batches):
        while len(sampler) and batches:
            for batch in sampler:
                yield batch
                batches -= 1
                if not batches:
                    break

    whole = list(run(make(), 30))
    first = make()
    before = list(run(first, min(stop, len(whole))))
    state = json.loads(json.dumps(first.state_dict()))
    resumed = make()
    resumed.load_state_dict(state)
    assert before + list(run(resumed, len(whole) - len(before))) == whole


def test_a_checkpoint_of_one_rank_serves_the_others():
    def make(rank):
        return ReferenceBatchSampler(10, 4, 2, rank, seed=110)

    uninterrupted = make(rank=1)
    expected = [batch for _ in range(3) for batch in uninterrupted]
    saved_by = make(rank=0)
    list(saved_by)
    next(iter(saved_by))
    resumed = make(rank=1)
    resumed.load_state_dict(saved_by.state_dict())
    done = len(saved_by) + 1
    assert [batch for _ in range(2) for batch in resumed] == expected[done:]


def test_a_validation_that_ended_early_starts_anew_with_the_generator_where_it_was():
    whole = ReferenceBatchSampler(10, 4, seed=110, fixed_epoch=0)
    next(iter(whole))
    resumed = ReferenceBatchSampler(10, 4, seed=110, fixed_epoch=0)
    resumed.load_state_dict(whole.state_dict())
    assert list(resumed) == list(whole)
    assert len(list(whole)) == len(whole) == 3


def test_an_iterator_that_nobody_uses_is_no_pass():
    sampler = ReferenceBatchSampler(10, 4, seed=110, drop_last=True)
    iter(sampler)
    assert list(sampler) == list(ReferenceBatchSampler(10, 4, seed=110, drop_last=True))


@pytest.mark.parametrize("in_step", [False, True])
@settings(max_examples=50, deadline=None)
@given(size=st.integers(1, 30), batch_size=st.integers(1, 6), world_size=st.integers(1, 4))
def test_in_order_ranks_deal_out_the_batches_of_the_file(in_step, size, batch_size, world_size):
    ranks = [
        InOrderBatchSampler(size, batch_size, world_size, rank, in_step)
        for rank in range(world_size)
    ]
    dealt = [list(sampler) for sampler in ranks]
    assert [len(batches) for batches in dealt] == [len(sampler) for sampler in ranks]
    rows = list(range(size))
    batches = [rows[start : start + batch_size] for start in range(0, size, batch_size)]
    if in_step:
        batches = batches[: len(batches) // world_size * world_size]
    assert dealt == [batches[rank::world_size] for rank in range(world_size)]


def test_a_batch_holds_its_rows_end_to_end_without_their_last_tokens():
    rows = [
        make_row(EncodedExample([1, 2], [3]), 8),
        make_row(EncodedExample([4] * 4, [5] * 9), 8),
    ]
    batch = collate(rows, [7, 2])
    assert batch.row_ids == (7, 2)
    assert batch.lengths == (2, 7)
    assert batch.row_tokens == 3 + 8
    assert batch.input_ids.dtype == batch.targets.dtype == torch.int64
    assert batch.input_ids.tolist() == [1, 2, 4, 4, 4, 4, 5, 5, 5]
    assert batch.position_ids.tolist() == [0, 1, 0, 1, 2, 3, 4, 5, 6]
    assert batch.targets.tolist() == [2, 3, 4, 4, 4, 5, 5, 5, 5]
    assert batch.boundaries.tolist() == [0, 2, 9]
    assert batch.completion_positions.tolist() == [1, 5, 6, 7, 8]
    assert batch.joint_positions.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8]


def test_a_row_of_one_token_keeps_it_and_has_no_label():
    batch = collate([make_row(EncodedExample([1], []), 8)], [0])
    assert batch.input_ids.tolist() == [1]
    assert not len(batch.joint_positions)
