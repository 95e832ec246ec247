"""How many trainings begin: as many as memory has room for, by their own estimates."""

import pytest
import torch

from lora_lightning.methods.base import adapter_tensors
from lora_lightning.methods.lora_method import LoRA
from lora_lightning.one_pass.base import SharedBase
from lora_lightning.one_pass.room import Reserved, Room
from lora_lightning.training.memory import MemoryEstimate
from tests.methods.models import small_gpt2
from tests.one_pass.decodings import Settings, model_of

LORA = LoRA(rank=2, alpha=8, dropout=0.0, targets=["q", "v"])
CPU, GPU = torch.device("cpu"), torch.device("cuda")
TRAINING_OF_100 = MemoryEstimate(weights=1000, training=10, activations=90, tokens=100)


def most(available, device=CPU, tokens_at_once=100):
    """Return how many trainings are let in."""
    room, living = Room(available, tokens_at_once), []
    while len(living) < 99 and room.has_place(living):
        living.append(Reserved(TRAINING_OF_100, device))
    return len(living)


@pytest.mark.parametrize(
    ("available", "device", "tokens_at_once", "expected"),
    [
        (1500, GPU, 100, 5),  # the base, and 100 for each
        (1500, CPU, 100, 41),  # activations of one at a time
        (1500, CPU, 250, 32),  # of two
        (1500, CPU, 1000, 5),
        (1, CPU, 100, 1),  # at least one
    ],
)
def test_trainings_begin_until_one_more_would_not_fit(available, device, tokens_at_once, expected):
    assert most(available, device, tokens_at_once) == expected


def test_where_nothing_is_given_what_is_free_counts(monkeypatch):
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("", (), {"available": 1500})())
    assert most(None) == 41


def test_a_decoding_counts_what_its_model_shares_with_no_other():
    base, models = SharedBase(), [model_of(Settings(LORA, seed=seed)) for seed in (0, 1)]
    models.append(small_gpt2(seed=5, n_positions=64))  # another base
    for model in models:
        base.share_with(model, CPU)
    adapter = sum(tensor.nbytes for tensor in adapter_tensors(models[1]).values())
    assert base.own_bytes(models[1]) == adapter
    whole = sum(parameter.nbytes for parameter in models[2].parameters())
    assert base.own_bytes(models[2]) == whole
