"""Which projections get an adapter, and what is refused."""

import copy

import pytest
import torch

from lora_lightning.errors import InputError
from lora_lightning.methods.inject import (
    adapters_merged,
    inject_lora,
    lora_layers,
    merge_adapters,
    unmerge_adapters,
)
from tests.methods.models import adapted, logits, randomize, small_gpt2


def inject(model, targets, rank=2):
    inject_lora(model, rank=rank, alpha=6, dropout=0.0, targets=targets)
    return lora_layers(model)


@pytest.mark.parametrize(
    ("targets", "slices"),
    [(["q", "v"], (0, 2)), (["v", "q"], (0, 2)), (["k"], (1,)), (["q", "k", "v"], (0, 1, 2))],
)
def test_q_k_and_v_are_slices_of_c_attn_in_its_own_order(targets, slices):
    layers = inject(small_gpt2(), targets)
    assert list(layers) == ["transformer.h.0.attn.c_attn", "transformer.h.1.attn.c_attn"]
    assert {layer.slices for layer in layers.values()} == {slices}
    assert {layer.num_slices for layer in layers.values()} == {3}


@pytest.mark.parametrize(
    ("target", "names"),
    [
        ("c_attn", ["h.0.attn.c_attn", "h.1.attn.c_attn"]),
        ("attn.c_proj", ["h.0.attn.c_proj", "h.1.attn.c_proj"]),
        ("mlp.c_fc", ["h.0.mlp.c_fc", "h.1.mlp.c_fc"]),
        ("h.1.mlp.c_proj", ["h.1.mlp.c_proj"]),
        (
            "c_proj",
            ["h.0.attn.c_proj", "h.0.mlp.c_proj", "h.1.attn.c_proj", "h.1.mlp.c_proj"],
        ),
    ],
)
def test_any_projection_is_a_target_by_the_end_of_its_name(target, names):
    layers = inject(small_gpt2(), [target])
    assert list(layers) == [f"transformer.{name}" for name in names]
    assert {layer.slices for layer in layers.values()} == {(0,)}
    assert {layer.num_slices for layer in layers.values()} == {1}


def test_only_the_adapters_are_trained():
    model = small_gpt2()
    inject(model, ["q", "v", "mlp.c_fc"])
    trainable = {name for name, p in model.named_parameters() if p.requires_grad}
    expected = {f"{name}.{leaf}" for name in lora_layers(model) for leaf in ("lora_A", "lora_B")}
    assert trainable == expected
    model(input_ids=torch.zeros(1, 3, dtype=torch.long)).logits.sum().backward()
    assert all((p.grad is not None) == (name in expected) for name, p in model.named_parameters())


def test_a_fresh_adapter_does_not_change_the_model():
    model = small_gpt2()
    before = logits(model)
    inject(model, ["q", "k", "v", "c_proj", "c_fc"])
    assert logits(model).equal(before)


@pytest.mark.parametrize("training", [True, False])
def test_adapters_are_in_the_mode_of_the_model(training):
    model = small_gpt2().train(training)
    layers = inject(model, ["q"])
    assert all(layer.dropout.training == training for layer in layers.values())


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (["q", "c_attnn"], "'c_attnn' fits no projection"),
        (["ttn"], "fits no projection"),
        (["q", "c_attn"], "q and c_attn both adapt transformer.h.0.attn.c_attn"),
        (["c_proj", "attn.c_proj"], "both adapt"),
        (["q", "q"], "twice"),
        (["lm_head"], "'lm_head' is tied to transformer.wte"),
        (["q", "wte"], "'wte' is tied to lm_head"),
    ],
)
def test_a_target_that_cannot_be_adapted_is_refused_and_the_model_left_alone(targets, message):
    model = small_gpt2()
    with pytest.raises(InputError, match=message) as error:
        inject(model, targets)
    assert "method.targets" in str(error.value)
    assert not lora_layers(model)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_the_error_lists_the_names_to_choose_from():
    with pytest.raises(
        InputError,
        match=r"choose from q, k, v, attn\.c_attn, attn\.c_proj, mlp\.c_fc, mlp\.c_proj$",
    ):
        inject(small_gpt2(), ["nothing"])


def test_an_untied_head_can_be_adapted():
    model = small_gpt2(tie_word_embeddings=False)
    assert list(inject(model, ["lm_head"])) == ["lm_head"]


@pytest.mark.parametrize("targets", [["q"], ["c_attn"], ["mlp.c_fc"]])
def test_the_rank_is_at_most_the_smaller_side(targets):
    inject(small_gpt2(), targets, rank=16)
    with pytest.raises(InputError, match=r"method\.rank=17 .*choose from 1 to 16"):
        inject(small_gpt2(), targets, rank=17)


@pytest.mark.parametrize("targets", [["q", "v"], ["q", "k", "v"], ["c_attn", "c_proj", "c_fc"]])
def test_merged_logits_equal_unmerged_ones_and_unmerging_restores_the_model(targets):
    model = small_gpt2()
    inject(model, targets)
    randomize(model)
    before = copy.deepcopy(model.state_dict())
    unmerged = logits(model)
    merge_adapters(model)
    merge_adapters(model)
    torch.testing.assert_close(logits(model), unmerged, atol=1e-5, rtol=1e-5)
    assert model.lm_head.weight is model.transformer.wte.weight
    unmerge_adapters(model)
    unmerge_adapters(model)
    assert all(tensor.equal(before[name]) for name, tensor in model.state_dict().items())
    assert logits(model).equal(unmerged)


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("within", [True, False])
def test_merging_for_a_while_ends_as_it_began(before, within):
    model = adapted()
    if before:
        merge_adapters(model)
    with adapters_merged(model, within):
        assert all(layer.merged == within for layer in lora_layers(model).values())
    assert all(layer.merged == before for layer in lora_layers(model).values())
