"""A variant cannot be lost: whatever a method declares is written, read, checked and decoded."""

import copy
import json

import pytest
import torch
from peft import PeftModel

from lora_lightning.errors import InputError
from lora_lightning.gpt2.forward import require_packable
from lora_lightning.methods.adapter_files import (
    adapter_method,
    describe_adapter,
    is_whole_model,
    load_adapter,
    other_base,
    save_adapter,
)
from lora_lightning.methods.base import adapter_tensors, base_tensors, trained_tensors
from lora_lightning.methods.exports import (
    export_loralib,
    export_merged,
    export_peft,
    refused_by_peft,
)
from lora_lightning.methods.inject import lora_layers, merge_adapters, unwrap_merged
from lora_lightning.methods.lora_method import LoRA
from lora_lightning.methods.method import check_state
from lora_lightning.training.diagnostics import adapter_norms
from tests.methods.models import fresh, logits, refusal, same, small_gpt2
from tests.methods.own_methods import (
    Counted,
    FromScratch,
    Gated,
    OwnState,
    Scaled,
    TrainedScale,
)

SETTINGS = {"rank": 2, "alpha": 6, "dropout": 0.0, "targets": ["q", "c_fc"]}
VARIANTS = {kind.__name__: kind(**SETTINGS) for kind in (Scaled, TrainedScale, Gated, Counted)}
METHODS = VARIANTS | {"FromScratch": FromScratch(), "OwnState": OwnState(forgets=False)}


@pytest.fixture(params=METHODS)
def method(request):
    return METHODS[request.param]


def trained(method, seed=0):
    """A model that a method made ready, with other numbers in all that it trains."""
    model = fresh(method, seed)
    torch.manual_seed(seed + 1)
    with torch.no_grad():
        for tensor in trained_tensors(model).values():
            if tensor.requires_grad:
                tensor.add_(0.3 * torch.randn_like(tensor))
    return model


def test_every_tensor_comes_back_whatever_random_numbers_the_model_began_with(method, tmp_path):
    model = trained(method)
    expected = logits(model)
    save_adapter(model, method, tmp_path)
    torch.manual_seed(99)
    loaded = small_gpt2()
    method.apply(loaded)
    load_adapter(loaded, method, tmp_path)
    if not isinstance(method, OwnState):  # which says itself what it holds
        assert same(trained_tensors(loaded), trained_tensors(model))
        assert logits(loaded).equal(expected)
    assert all(p.equal(q) for p, q in zip(loaded.parameters(), model.parameters(), strict=True))


def test_the_base_is_told_from_what_a_method_adds(method):
    base, model = small_gpt2(), fresh(method)
    assert same(base_tensors(model), base_tensors(base))
    assert base_tensors(model).keys() == dict(base.named_parameters()).keys()
    every = {id(tensor) for tensor in [*model.parameters(), *model.buffers()]}
    added = adapter_tensors(model).values()
    assert every == {id(tensor) for tensor in [*base_tensors(model).values(), *added]}


def test_a_folder_is_labelled_by_its_own_method(method, tmp_path):
    save_adapter(fresh(method), method, tmp_path, base="some/base")
    assert adapter_method(tmp_path) == "own"
    name = f"tests.methods.own_methods.{type(method).__name__}"
    assert describe_adapter(tmp_path)["_target_"] == name
    assert other_base(tmp_path, "another") == "some/base"
    assert not is_whole_model(tmp_path)


def test_a_folder_says_how_a_config_built_its_method(tmp_path):
    described = {"_target_": "somewhere.Else", "width": 3}
    save_adapter(fresh(FromScratch()), FromScratch(), tmp_path, described=described)
    assert describe_adapter(tmp_path) == described


def test_merged_and_unmerged_layers_compute_the_same(method):
    model = trained(method)
    expected = logits(model)
    merge_adapters(model)
    unwrap_merged(model)
    assert torch.allclose(logits(model), expected, atol=1e-4)
    is_merged = not adapter_tensors(model)
    assert is_merged == isinstance(method, Scaled | TrainedScale)


@pytest.mark.parametrize("name", ["Scaled", "TrainedScale"])
def test_the_norm_of_an_update_counts_the_further_tensor(name):
    model = trained(VARIANTS[name])
    for layer in lora_layers(model).values():
        assert torch.allclose(layer.delta_norm(), layer.delta_weight().norm())
    twice = copy.deepcopy(model)
    for layer in lora_layers(twice).values():
        with torch.no_grad():
            (layer.learnt if name == "Scaled" else layer.scale).mul_(2)
    norms = adapter_norms(model)["lora/norm_delta"], adapter_norms(twice)["lora/norm_delta"]
    assert torch.allclose(2 * norms[0], norms[1])


@pytest.mark.parametrize("name", ["Gated", "Counted"])
def test_an_update_that_is_no_matrix_has_no_norm(name):
    model = trained(VARIANTS[name])
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    assert "lora/norm_delta" not in adapter_norms(model)
    assert same(model.state_dict(), before)


def test_every_tensor_of_a_variant_gets_a_gradient(method):
    model = trained(method)
    model(input_ids=torch.arange(12).view(2, 6)).logits.pow(2).sum().backward()
    missing = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not missing


def test_formats_without_a_place_for_a_tensor_are_refused_by_its_name(tmp_path):
    method = VARIANTS["Scaled"]
    model = trained(method)
    name = "transformer.h.0.attn.c_attn.learnt"
    for export in (
        lambda: export_peft(model, method, tmp_path / "peft"),
        lambda: export_loralib(model, tmp_path / "adapter.pt"),
    ):
        with pytest.raises(InputError, match=name):
            export()
    with pytest.raises(InputError, match="Layer"):
        export_peft(trained(VARIANTS["Counted"]), VARIANTS["Counted"], tmp_path / "peft")
    assert "Layer of Counted" in str(
        refused_by_peft(fresh(VARIANTS["Counted"]), VARIANTS["Counted"])
    )
    with pytest.raises(InputError, match="lora_A"):
        export_merged(trained(VARIANTS["Gated"]), tmp_path / "merged")
    assert not list(tmp_path.iterdir())


def test_peft_refuses_a_folder_that_it_would_read_in_part(tmp_path):
    save_adapter(trained(VARIANTS["Scaled"]), VARIANTS["Scaled"], tmp_path)
    with pytest.raises(ValueError, match="adapter_config"):
        PeftModel.from_pretrained(small_gpt2(), tmp_path)


def test_a_subclass_that_computes_lora_stays_in_pefts_layout(tmp_path):
    class Named(LoRA):
        """LoRA by another name."""

    method = Named(**SETTINGS)
    save_adapter(trained(method), method, tmp_path)
    assert adapter_method(tmp_path) == "lora"


def test_the_table_counts_every_trained_tensor(method):
    model = fresh(method)
    count = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert sum(row.count for row in method.parameter_table(model)) == count


def test_another_method_setting_or_base_is_refused_by_name(tmp_path):
    scaled, gated = VARIANTS["Scaled"], VARIANTS["Gated"]
    save_adapter(trained(scaled), scaled, tmp_path)
    assert "own_methods.Scaled" in refusal(fresh(gated), gated, tmp_path)
    other = Scaled(**SETTINGS | {"alpha": 7})
    assert "method.alpha=6" in refusal(fresh(other), other, tmp_path)
    assert "other weights" in refusal(fresh(scaled, seed=5), scaled, tmp_path)
    plain = LoRA(**SETTINGS)
    assert "own_methods.Scaled" in refusal(fresh(plain), plain, tmp_path)


def test_damaged_settings_or_tensors_of_another_adapter_are_refused(tmp_path):
    method = FromScratch()
    for seed in (0, 1):
        save_adapter(trained(method, 0) if seed else fresh(method), method, tmp_path / str(seed))
    settings = tmp_path / "0" / "lora_lightning.json"
    tensors = tmp_path / "0" / "adapter.safetensors"
    kept = tensors.read_bytes()
    tensors.write_bytes((tmp_path / "1" / "adapter.safetensors").read_bytes())
    assert "two adapters" in refusal(fresh(method), method, tmp_path / "0")
    tensors.write_bytes(kept)
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"base": {}}))
    assert "damaged" in refusal(fresh(method), method, tmp_path / "0")


def test_what_would_be_lost_is_refused_before_training():
    check_state(OwnState(forgets=False), fresh(OwnState()))
    with pytest.raises(InputError, match="leaves out transformer"):
        check_state(OwnState(), fresh(OwnState()))
    with pytest.raises(InputError, match="nothing to train"):
        check_state(FromScratch(), small_gpt2().requires_grad_(False))


@pytest.mark.parametrize("place", ["transformer.h.1", "transformer.h.0.attn", "lm_head", ""])
def test_a_hook_that_packed_rows_would_pass_by_is_refused_by_its_place(place):
    model = small_gpt2()
    require_packable(model)
    model.get_submodule(place).register_forward_hook(lambda *_: None)
    with pytest.raises(InputError, match=place or "the whole model"):
        require_packable(model)
