"""Which weights are packed."""

import logging
from types import SimpleNamespace

import psutil
import pytest
import torch

from lora_lightning.errors import InputError
from lora_lightning.gpt2.packing import packs

WEIGHTS = [torch.empty(1000, 500), torch.empty(500, 1000)]
MEGABYTES = 4  # of the weights in float32
needs_onednn = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="this build of torch has no oneDNN"
)


@pytest.fixture
def free(monkeypatch):
    """Set the free memory of the machine, MB."""

    def set_free(megabytes):
        memory = SimpleNamespace(available=megabytes * 10**6)
        monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)

    return set_free


@needs_onednn
@pytest.mark.parametrize(
    ("packing", "megabytes", "expected"),
    [("auto", 8, True), ("auto", 7, False), (True, 1, True), (False, 1000, False)],
)
def test_auto_packs_where_the_copy_fits_into_half_of_the_free_memory(
    free, packing, megabytes, expected
):
    free(megabytes)
    assert packs(packing, WEIGHTS, torch.float32) is expected


@needs_onednn
def test_the_memory_that_packing_takes_is_said_once(free, caplog):
    free(1000)
    with caplog.at_level(logging.INFO):
        packs("auto", WEIGHTS, torch.bfloat16)
        packs("auto", WEIGHTS, torch.float32, copies=2)
    sizes = [record.getMessage().split(", ")[-1] for record in caplog.records]
    assert sizes == [f"{MEGABYTES / 2} MB", f"{2 * MEGABYTES:.1f} MB"]


@needs_onednn
def test_what_is_not_packed_for_want_of_memory_is_said(free, caplog):
    free(7)
    with caplog.at_level(logging.INFO):
        packs("auto", WEIGHTS, torch.float32)
    [record] = caplog.records
    assert "4.0 MB, of 7.0 MB free; model.packed=true" in record.getMessage()


@pytest.mark.parametrize(
    "weights", [[], [torch.empty(2, 2, device="meta")]], ids=["no weight", "not on the CPU"]
)
def test_nothing_is_packed_that_the_cpu_does_not_multiply(weights):
    assert not packs(True, weights, torch.float32)


def test_a_torch_without_onednn_packs_nothing_and_says_so_if_told_to(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert not packs("auto", WEIGHTS, torch.float32)
    with pytest.raises(InputError, match="packed=auto"):
        packs(True, WEIGHTS, torch.float32)
