"""The norms that a logged update reports are those of the tensors themselves."""

import pytest
import torch

from lora_lightning.methods.dora import DoRA
from lora_lightning.methods.full import Full
from lora_lightning.methods.inject import lora_layers
from lora_lightning.methods.lora_method import LoRA
from lora_lightning.methods.rslora import RSLoRA
from lora_lightning.training.diagnostics import adapter_norms, diagnostics
from tests.methods.models import adapted, small_gpt2


@pytest.mark.parametrize("method", [LoRA, RSLoRA, DoRA])
@pytest.mark.parametrize("targets", [["q", "v"], ["c_attn", "c_proj", "c_fc"]])
def test_the_norm_of_an_update_is_that_of_what_merging_adds(method, targets):
    model = adapted(method(rank=3, alpha=8, dropout=0.0, targets=targets))  # B is not zero
    norms = adapter_norms(model)
    layers = lora_layers(model)
    assert len([name for name in norms if name.startswith("delta/")]) == len(layers)
    for name, layer in layers.items():
        expected = torch.linalg.vector_norm(layer.delta_weight())
        torch.testing.assert_close(norms[f"delta/{name.removeprefix('transformer.')}"], expected)
    of_all = torch.cat([layer.delta_weight().flatten() for layer in layers.values()])
    torch.testing.assert_close(norms["lora/norm_delta"], torch.linalg.vector_norm(of_all))


def test_an_update_that_has_not_begun_is_zero():
    model = small_gpt2()
    LoRA(rank=2, alpha=4, dropout=0.0, targets=["q"]).apply(model)
    norms = adapter_norms(model)
    assert norms["lora/norm_B"] == norms["lora/norm_delta"] == 0
    assert norms["lora/norm_A"] > 0


def test_a_model_without_lora_reports_its_gradient_and_memory_alone():
    model = small_gpt2()
    Full().apply(model)
    found = diagnostics(model, torch.tensor(2.0))
    assert found.pop("train/gradient_norm") == 2.0
    assert set(found) <= {"memory/peak_mb"}
