"""The methods as config objects: their values, and their tables of trainable parameters."""

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from lora_lightning.errors import InputError
from lora_lightning.methods.full import Full
from lora_lightning.methods.lora_method import LoRA
from tests.methods.models import small_gpt2

GOOD = {"rank": 4, "alpha": 32, "dropout": 0.1, "targets": ["q", "v"]}
SIZES = {
    "small": (768, 12, 12, 147_456),
    "medium": (1024, 24, 16, 393_216),
    "large": (1280, 36, 20, 737_280),
    "xl": (1600, 48, 25, 1_228_800),
}


def trainable(model):
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize(("width", "layers", "heads", "count"), SIZES.values(), ids=SIZES)
def test_lora_of_rank_4_trains_as_many_parameters_as_published(width, layers, heads, count):
    with torch.device("meta"):
        model = GPT2LMHeadModel(GPT2Config(n_embd=width, n_layer=layers, n_head=heads))
    method = LoRA(**GOOD)
    method.apply(model)
    (row,) = method.parameter_table(model)
    assert row.count == trainable(model) == count
    assert row.kind == "transformer.h.*.attn.c_attn [q, v]"
    assert row.formula == f"{layers} layers · 2 slices · rank 4 · (in {width} + out {width})"


def test_the_table_has_a_row_for_each_kind_of_projection():
    model = small_gpt2()
    method = LoRA(**GOOD | {"targets": ["v", "mlp.c_fc", "attn.c_proj"]})
    method.apply(model)
    rows = method.parameter_table(model)
    assert [(row.kind, row.count) for row in rows] == [
        ("transformer.h.*.attn.c_attn [v]", 2 * 4 * 32),
        ("transformer.h.*.attn.c_proj", 2 * 4 * 32),
        ("transformer.h.*.mlp.c_fc", 2 * 4 * (16 + 64)),
    ]
    assert rows[2].formula == "2 layers · rank 4 · (in 16 + out 64)"


def test_full_trains_everything_and_counts_tied_weights_once():
    model = small_gpt2()
    model.requires_grad_(False)
    method = Full()
    method.apply(model)
    assert all(parameter.requires_grad for parameter in model.parameters())
    rows = {row.kind: row for row in method.parameter_table(model)}
    assert sum(row.count for row in rows.values()) == trainable(model)
    assert rows["transformer.wte.weight"].count == 50 * 16
    assert "lm_head.weight" not in rows
    assert rows["transformer.h.*.attn.c_attn.weight"].formula == "2 layers · 16 · 48"


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("rank", [0, -1, 1.5, "4", None]),
        ("alpha", [0, -1, "x", float("nan"), float("inf"), None]),
        ("dropout", [-0.1, 1, 1.5, "x", float("nan"), None]),
        ("targets", [[], "q", None]),
    ],
)
def test_a_value_out_of_range_is_an_error_that_names_its_key(key, values):
    for value in values:
        with pytest.raises(InputError, match=rf"method\.{key}="):
            LoRA(**GOOD | {key: value})
