"""rsLoRA: LoRA with another scale."""

import math

import pytest
import torch
from torch import nn

from lora_lightning.methods.lora import LoRALayer
from lora_lightning.methods.lora_method import LoRA
from lora_lightning.methods.rslora import RSLoRA, RSLoRALayer
from tests.methods.models import adapted, logits


@pytest.mark.parametrize("rank", [1, 4, 8])
def test_the_update_is_scaled_by_alpha_over_the_root_of_the_rank(rank):
    layer = RSLoRALayer(nn.Linear(8, 8), rank, alpha=6)
    nn.init.normal_(layer.lora_B)
    x = torch.randn(3, 8)
    expected = layer.base(x) + 6 / math.sqrt(rank) * (x @ layer.lora_A.T) @ layer.lora_B.T
    torch.testing.assert_close(layer(x), expected)
    assert LoRALayer(nn.Linear(8, 8), rank, alpha=6).scale == 6 / rank


def test_it_is_lora_with_an_alpha_that_gives_the_same_scale():
    settings = {"rank": 4, "dropout": 0.0, "targets": ["q", "v"]}
    ours, plain = adapted(RSLoRA(alpha=16, **settings)), adapted(LoRA(alpha=32, **settings))
    assert logits(ours).equal(logits(plain))


def test_the_slices_share_one_scale_however_they_are_stacked():
    method = RSLoRA(rank=4, alpha=16, dropout=0.0, targets=["q", "v"])
    for count in (1, 2, 3):
        stacked = RSLoRALayer.scale_of(count * 4, method.stacked_alpha(count, 16))
        assert stacked == pytest.approx(RSLoRALayer.scale_of(4, 16))
