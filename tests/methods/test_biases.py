"""Biases that are trained beside an adapter."""

import pytest
import torch

from lora_lightning.methods.adapter_files import save_adapter
from lora_lightning.methods.base import fingerprint
from lora_lightning.methods.biases import trained_biases
from lora_lightning.methods.inject import merge_adapters, unmerge_adapters
from lora_lightning.methods.lora_method import LoRA
from tests.methods.models import adapted, fresh, small_gpt2

ADAPTED = [f"transformer.h.{i}.{name}.bias" for i in (0, 1) for name in ("attn.c_attn", "mlp.c_fc")]


def method(bias):
    return LoRA(rank=2, alpha=6, dropout=0.0, targets=["q", "v", "mlp.c_fc"], bias=bias)


@pytest.mark.parametrize("bias", ["none", "lora_only", "all"])
def test_exactly_the_named_biases_are_trained(bias):
    every = [name for name, _ in small_gpt2().named_parameters() if name.endswith("bias")]
    expected = {"none": [], "lora_only": ADAPTED, "all": every}[bias]
    model = fresh(method(bias))
    assert list(trained_biases(model, bias)) == expected
    trainable = [
        name.replace(".base.", ".")
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and "lora_" not in name
    ]
    assert trainable == expected
    model(input_ids=torch.ones(1, 5, dtype=torch.long)).logits.square().sum().backward()
    assert all(tensor.grad is not None for tensor in trained_biases(model, bias).values())


def test_the_table_counts_them():
    for bias in ("none", "lora_only", "all"):
        model = fresh(method(bias))
        rows = method(bias).parameter_table(model)
        trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
        assert sum(row.count for row in rows) == trainable
    rows = {row.kind: row for row in rows}
    assert rows["transformer.h.*.attn.c_attn.bias"].formula == "2 layers · 48"
    assert rows["transformer.ln_f.bias"].count == 16


def test_merging_leaves_them_alone():
    model = adapted(method("all"))
    before = {name: t.clone() for name, t in trained_biases(model, "all").items()}
    for change in (merge_adapters, unmerge_adapters):
        change(model)
        after = trained_biases(model, "all")
        assert all(after[name].equal(before[name]) for name in before)


def test_a_base_is_known_again_whatever_its_trained_biases():
    base, model = small_gpt2(), adapted(method("all"))
    biases = trained_biases(base, "all")
    assert fingerprint(base) != fingerprint(model)
    assert fingerprint(base, biases) == fingerprint(model, biases)
    model.transformer.wpe.weight.data.mul_(2)
    assert fingerprint(base, biases) != fingerprint(model, biases)


def test_a_frozen_model_still_saves_what_was_trained(tmp_path):
    model = adapted(method("all"))
    save_adapter(model, method("all"), tmp_path / "as_trained")
    save_adapter(model.requires_grad_(False), method("all"), tmp_path / "frozen")
    for file in (tmp_path / "as_trained").iterdir():
        assert file.read_bytes() == (tmp_path / "frozen" / file.name).read_bytes()
