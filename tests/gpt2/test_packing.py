"""Which weights are packed."""

import logging

import psutil
import pytest
import torch

from lora_lightning.errors import InputError
from lora_lightning.gpt2.packing import packs

WEIGHTS = [torch.empty(1000, 500), torch.empty(500, 500)]
needs_onednn = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="this build of torch has no oneDNN"
)


def free_memory(monkeypatch, size):
    monkeypatch.setattr(
        psutil, "virtual_memory", lambda: psutil._ntp.svmem(*[0] * 11)._replace(available=size)
    )
