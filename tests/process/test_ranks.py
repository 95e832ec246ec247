"""A rank that hangs is named."""

from datetime import timedelta

import pytest
import torch.distributed
from torch.testing._internal.distributed.fake_pg import FakeStore  # noqa: F401, registers "fake"

from lora_lightning.checkpoints import save
from lora_lightning.checkpoints.save import SaveRun
from lora_lightning.errors import InputError
from lora_lightning.process.ranks import missing_ranks, named


@pytest.fixture
def store():
    """That of a group of three ranks, of which this process is the first."""
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("fake", rank=0, world_size=3, store=store)
    yield torch.distributed.distributed_c10d._get_default_store()
    torch.distributed.destroy_process_group()


def test_nobody_is_missing_where_there_is_one_process():
    assert missing_ranks("here", timedelta(0)) == []


def test_ranks_that_do_not_come_in_time_are_missing(store):
    store.set("here/1", "")
    assert missing_ranks("here", timedelta(0)) == [2]
    assert missing_ranks("there", timedelta(0)) == [1, 2]
    assert named([1, 2]) == "rank 1 and rank 2"


def test_ranks_that_have_come_are_waited_for_no_longer(store):
    for rank in (1, 2):
        store.set(f"here/{rank}", "")
    assert missing_ranks("here", timedelta(days=1)) == []


def test_a_rank_that_a_collective_of_a_training_waited_for_in_vain_is_named(
    store, monkeypatch, tmp_path
):
    monkeypatch.setattr(save, "ANSWER", timedelta(0))
    saving = SaveRun(tmp_path, None, "base")
    error = RuntimeError("[gloo] Timed out waiting 1800000ms for recv operation to complete")
    with pytest.raises(InputError, match=rf"rank 1 and rank 2 did not .*resume={tmp_path}"):
        saving.on_exception(None, None, error)


def test_other_errors_of_a_training_ask_nobody(store, tmp_path):
    SaveRun(tmp_path, None, "base").on_exception(None, None, RuntimeError("of another kind"))
