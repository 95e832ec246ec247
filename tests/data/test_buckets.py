"""Batches by length: every row once, similar rows together, whatever the number of ranks."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lora_lightning.data.buckets import BucketBatchSampler
from lora_lightning.errors import InputError

LENGTHS = st.lists(st.integers(1, 30), min_size=1, max_size=60)


@settings(max_examples=40, deadline=None)
@given(lengths=LENGTHS, seed=st.integers(0, 99))
def test_every_pass_has_every_row_once_and_no_batch_too_many_tokens(lengths, seed):
    sampler = BucketBatchSampler(lengths, 8, batch_tokens=40, seed=seed)
    sizes = []
    for _ in range(2):
        batches = list(sampler)
        assert len(batches) == len(sampler)
        assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
        assert all(sum(lengths[row] for row in batch) <= 40 for batch in batches)
        sizes.append(sorted(map(len, batches)))
    assert sizes[0] == sizes[1]


@settings(max_examples=40, deadline=None)
@given(lengths=LENGTHS, batch_size=st.integers(1, 9))
def test_a_number_of_rows_is_kept_and_batches_do_not_overlap_in_length(lengths, batch_size):
    batches = list(BucketBatchSampler(lengths, batch_size))
    assert sorted(map(len, batches))[1:] == [batch_size] * (len(batches) - 1)
    spans = sorted(
        (min(lengths[row] for row in batch), max(lengths[row] for row in batch))
        for batch in batches
    )
    assert all(before[1] <= after[0] for before, after in pairwise(spans))


@settings(max_examples=30, deadline=None)
@given(lengths=LENGTHS, world_size=st.integers(1, 4))
def test_ranks_deal_out_what_one_rank_would_take(lengths, world_size):
    whole = list(BucketBatchSampler(lengths, 4, batch_tokens=50, seed=3))
    ranks = [
        list(BucketBatchSampler(lengths, 4, 50, world_size, rank, seed=3))
        for rank in range(world_size)
    ]
    rounds = len(whole) // world_size
    assert [len(batches) for batches in ranks] == [rounds] * world_size
    dealt = [batch for together in zip(*ranks, strict=True) for batch in together]
    assert dealt == whole[: rounds * world_size]


def test_the_seed_and_the_pass_decide_the_order():
    lengths = [5, 9, 5, 9, 5, 9, 7, 7] * 4
    first, again, other = (BucketBatchSampler(lengths, 4, seed=seed) for seed in (1, 1, 2))
    passes = [list(first), list(first)]
    assert passes == [list(again), list(again)]
    assert passes[0] != passes[1]
    assert passes[0] != list(other)


def test_a_pass_goes_on_where_a_checkpoint_was_written():
    lengths = list(range(1, 30))
    whole, part = (BucketBatchSampler(lengths, 4, seed=1) for _ in range(2))
    batches = list(whole) + list(whole)
    iterator = iter(part)
    for _ in range(3):
        next(iterator)
    resumed = BucketBatchSampler(lengths, 4, seed=1)
    resumed.load_state_dict(part.state_dict())
    assert list(resumed) + list(resumed) == batches[3:]


def test_a_row_longer_than_a_batch_is_an_error_that_names_the_key():
    with pytest.raises(InputError, match=r"data\.batch_tokens=20.*31 tokens"):
        BucketBatchSampler([4, 31], 8, batch_tokens=20)
