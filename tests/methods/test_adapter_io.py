"""Saving and loading: everything comes back exactly, or there is one clear error."""

import json
import os
import stat

import pytest
import torch
from peft import VeraConfig
from safetensors import safe_open
from transformers import GPT2LMHeadModel

from lora_lightning.errors import InputError
from lora_lightning.methods.adapter_files import (
    adapter_method,
    describe_adapter,
    is_whole_model,
    load_adapter,
    save_adapter,
)
from lora_lightning.methods.adapter_l import AdapterL
from lora_lightning.methods.base import adapter_tensors, base_tensors
from lora_lightning.methods.biases import trained_biases
from lora_lightning.methods.exports import export_loralib, export_merged
from lora_lightning.methods.full import Full
from lora_lightning.methods.inject import lora_layers, merge_adapters
from lora_lightning.methods.lora_method import LoRA
from lora_lightning.methods.peft_method import PEFT
from tests.methods.models import (
    METHODS,
    QV,
    TARGETS,
    adapted,
    fresh,
    logits,
    refusal,
    same,
    small_gpt2,
)


@pytest.mark.parametrize("bias", ["none", "lora_only", "all"])
@pytest.mark.parametrize("choice", METHODS)
@pytest.mark.parametrize("targets", TARGETS, ids=str)
def test_a_saved_adapter_comes_back_bit_for_bit(tmp_path, choice, targets, bias):
    settings = {"rank": 3, "alpha": 5, "dropout": 0.25, "targets": targets, "bias": bias}
    method = METHODS[choice](**settings)
    model = adapted(method)
    save_adapter(model, method, tmp_path / "adapter")
    loaded = fresh(method)
    report = load_adapter(loaded, method, tmp_path / "adapter")
    assert same(loaded.state_dict(), model.state_dict())
    assert logits(loaded).equal(logits(model))
    count = len(adapter_tensors(model)) + len(trained_biases(model, bias))
    assert str(report) == f"loaded {count} adapter tensors, 0 missing"
    assert adapter_method(tmp_path / "adapter") == choice
    assert describe_adapter(tmp_path / "adapter") == settings | {"init": "kaiming"}


def test_a_file_of_the_folder_stands_for_the_folder(tmp_path):
    model = adapted()
    save_adapter(model, QV, tmp_path)
    loaded = fresh()
    load_adapter(loaded, QV, tmp_path / "adapter_model.safetensors")
    assert same(adapter_tensors(loaded), adapter_tensors(model))


@pytest.mark.parametrize("choice", METHODS)
def test_merging_does_not_show_in_what_is_saved(tmp_path, choice):
    method = METHODS[choice](rank=2, alpha=6, dropout=0.0, targets=["q", "v"], bias="all")
    model = adapted(method)
    save_adapter(model, method, tmp_path / "unmerged")
    merge_adapters(model)
    save_adapter(model, method, tmp_path / "merged")
    assert all(layer.merged for layer in lora_layers(model).values())
    for file in (tmp_path / "unmerged").iterdir():
        assert file.read_bytes() == (tmp_path / "merged" / file.name).read_bytes()


def test_loading_into_a_merged_model_leaves_it_merged_with_the_new_adapter(tmp_path):
    save_adapter(adapted(), QV, tmp_path)
    model = fresh()
    merge_adapters(model)
    load_adapter(model, QV, tmp_path)
    assert all(layer.merged for layer in lora_layers(model).values())
    torch.testing.assert_close(logits(model), logits(adapted()), atol=1e-5, rtol=1e-5)


def test_the_base_may_be_loaded_in_another_dtype(tmp_path):
    save_adapter(adapted(), QV, tmp_path)
    model = small_gpt2().bfloat16()
    QV.apply(model)
    load_adapter(model, QV, tmp_path)
    assert same(adapter_tensors(model), adapter_tensors(adapted()))


def test_saving_again_replaces_the_files_and_leaves_the_others(tmp_path):
    save_adapter(fresh(), QV, tmp_path / "adapter")
    (tmp_path / "adapter" / "notes.txt").write_text("mine")
    save_adapter(adapted(), QV, tmp_path / "adapter")
    loaded = fresh()
    load_adapter(loaded, QV, tmp_path / "adapter")
    assert logits(loaded).equal(logits(adapted()))
    assert (tmp_path / "adapter" / "notes.txt").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]


def test_a_save_that_fails_leaves_nothing_new(tmp_path):
    save_adapter(adapted(), QV, tmp_path / "adapter")
    before = (tmp_path / "adapter" / "adapter_model.safetensors").read_bytes()
    broken = fresh()
    del broken.transformer.h[0].attn.c_attn.lora_B
    with pytest.raises(AttributeError):
        save_adapter(broken, QV, tmp_path / "adapter")
    assert (tmp_path / "adapter" / "adapter_model.safetensors").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]


def test_saved_files_have_the_usual_permissions(tmp_path):
    save_adapter(adapted(), QV, tmp_path / "adapter")
    (tmp_path / "usual").touch()
    expected = stat.S_IMODE(os.stat(tmp_path / "usual").st_mode)
    for file in (tmp_path / "adapter").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == expected


def test_full_saves_the_whole_model_and_loads_it_back(tmp_path):
    model = small_gpt2(seed=1)
    save_adapter(model, Full(), tmp_path)
    loaded = fresh(Full(), seed=0)
    report = load_adapter(loaded, Full(), tmp_path)
    assert str(report) == f"loaded {len(base_tensors(model))} base tensors, 0 missing"
    assert logits(loaded).equal(logits(model))
    assert loaded.lm_head.weight is loaded.transformer.wte.weight
    assert describe_adapter(tmp_path) is None
    assert is_whole_model(tmp_path)
    assert logits(GPT2LMHeadModel.from_pretrained(tmp_path).eval()).equal(logits(model))


@pytest.mark.parametrize("choice", METHODS)
@pytest.mark.parametrize("tied", [True, False])
def test_an_exported_merged_model_is_a_plain_model_of_transformers(tmp_path, tied, choice):
    method = METHODS[choice](rank=2, alpha=6, dropout=0.0, targets=["q", "v"], bias="all")
    model = adapted(method, tie_word_embeddings=tied)
    expected = logits(model)
    export_merged(model, tmp_path / "merged")
    assert logits(model).equal(expected)
    loaded, report = GPT2LMHeadModel.from_pretrained(tmp_path / "merged", output_loading_info=True)
    assert not any(report.values())
    torch.testing.assert_close(logits(loaded.eval()), expected, atol=1e-5, rtol=1e-5)
    with safe_open(tmp_path / "merged" / "model.safetensors", "pt") as file:
        assert not any("lora" in name or ".base." in name for name in file.keys())  # noqa: SIM118


def test_a_merged_model_keeps_its_dtype(tmp_path):
    model = small_gpt2().bfloat16()
    QV.apply(model)
    export_merged(model, tmp_path)
    assert GPT2LMHeadModel.from_pretrained(tmp_path).dtype == torch.bfloat16


# What does not fit


def with_settings(**settings):
    values = {"rank": 2, "alpha": 6, "dropout": 0.0, "targets": ["q", "v"]}
    return LoRA(**values | settings)


@pytest.mark.parametrize(
    "other",
    [{"rank": 4}, {"alpha": 32}, {"targets": ["q", "k"]}, {"targets": ["c_attn"], "rank": 4}],
    ids=str,
)
def test_other_settings_are_refused_with_the_overrides_that_fit(tmp_path, other):
    save_adapter(adapted(), QV, tmp_path)
    method = with_settings(**other)
    message = refusal(fresh(method), method, tmp_path)
    assert "method.rank=2 method.alpha=6 method.targets=[q,v]" in message


@pytest.mark.parametrize(
    ("saved", "loaded"),
    [
        ("lora", "dora"),
        ("dora", "lora"),
        ("lora", "rslora"),
        ("rslora", "lora"),
        ("dora", "rslora"),
    ],
)
def test_another_method_is_refused_with_the_one_that_fits(tmp_path, saved, loaded):
    settings = {"rank": 2, "alpha": 6, "dropout": 0.0, "targets": ["q", "v"]}
    method = METHODS[saved](**settings)
    save_adapter(adapted(method), method, tmp_path)
    other = METHODS[loaded](**settings)
    assert f"set method={saved} method.rank=2" in refusal(fresh(other), other, tmp_path)


@pytest.mark.parametrize(("saved", "loaded"), [("none", "all"), ("all", "lora_only")])
def test_other_biases_are_refused_with_those_that_fit(tmp_path, saved, loaded):
    method = with_settings(bias=saved)
    save_adapter(adapted(method), method, tmp_path)
    other = with_settings(bias=loaded)
    message = refusal(fresh(other), other, tmp_path)
    assert f"method.bias={loaded}; set " in message
    assert message.endswith(f"method.bias={saved}")


def test_another_dropout_is_no_obstacle(tmp_path):
    save_adapter(adapted(), QV, tmp_path)
    method = with_settings(dropout=0.5)
    load_adapter(fresh(method), method, tmp_path)


def test_a_base_with_other_weights_is_refused(tmp_path):
    save_adapter(adapted(), QV, tmp_path, base="models/right")
    message = refusal(fresh(seed=7), QV, tmp_path)
    assert "other weights" in message
    assert "models/right" in message
    assert "model.path" in message


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ({"vocab_size": 60}, "vocab_size=50"),
        ({"n_embd": 32}, "hidden_size=16"),
        ({"n_layer": 3}, "num_hidden_layers=2"),
        ({"n_head": 4}, "num_attention_heads=2"),
        ({"n_positions": 64}, "max_position_embeddings=32"),
    ],
)
@pytest.mark.parametrize("method", [QV, Full()], ids=["lora", "full"])
def test_a_base_of_another_shape_is_refused(tmp_path, setting, named, method):
    save_adapter(adapted(method), method, tmp_path)
    message = refusal(fresh(method, **setting), method, tmp_path)
    assert named in message
    assert "model.path" in message


def test_one_changed_base_weight_matrix_is_another_base(tmp_path):
    save_adapter(adapted(), QV, tmp_path)
    model = fresh()
    with torch.no_grad():
        model.transformer.h[1].mlp.c_proj.weight.mul_(1.1)
    assert "other weights" in refusal(model, QV, tmp_path)


def test_a_truncated_safetensors_file_is_refused(tmp_path):
    for method in (QV, Full()):
        folder = tmp_path / type(method).__name__
        save_adapter(adapted(method), method, folder)
        (file,) = folder.glob("*.safetensors")
        content = file.read_bytes()
        for size in (0, 5, 100, len(content) - 1):
            file.write_bytes(content[:size])
            message = refusal(fresh(method), method, folder)
            assert str(file) in message
            assert "corrupt or truncated" in message


def test_a_missing_file_is_named(tmp_path):
    assert "no such file or folder" in refusal(fresh(), QV, tmp_path / "nothing")
    assert "holds no adapter" in refusal(fresh(), QV, tmp_path)
    save_adapter(adapted(), QV, tmp_path)
    (tmp_path / "adapter_model.safetensors").unlink()
    assert "adapter_model.safetensors: no such file" in refusal(fresh(), QV, tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", "\xff", '{"peft_type": "LORA"}', "{}"])
@pytest.mark.parametrize("file", ["adapter_config.json", "lora_lightning.json"])
def test_a_damaged_description_is_refused(tmp_path, file, content):
    save_adapter(adapted(), QV, tmp_path)
    (tmp_path / file).write_text(content, encoding="latin-1")
    assert file in refusal(fresh(), QV, tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", "\xff", '{"n_embd": "wide"}', '{"n_embd": 7}'])
def test_a_damaged_model_config_is_refused(tmp_path, content):
    save_adapter(small_gpt2(), Full(), tmp_path)
    (tmp_path / "config.json").write_text(content, encoding="latin-1")
    assert str(tmp_path) in refusal(fresh(Full()), Full(), tmp_path)


def test_a_config_that_scales_otherwise_than_the_method_is_refused(tmp_path):
    save_adapter(adapted(), QV, tmp_path)
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"lora_alpha": 99}))
    assert "99 / 4" in refusal(fresh(), QV, tmp_path)


def test_the_other_methods_folder_is_refused_with_the_right_method(tmp_path):
    save_adapter(adapted(), QV, tmp_path / "lora")
    save_adapter(small_gpt2(), Full(), tmp_path / "full")
    assert "set method=lora" in refusal(fresh(Full()), Full(), tmp_path / "lora")
    for method in (QV, AdapterL(3), PEFT(VeraConfig(target_modules=["c_attn"]))):
        assert "set method=full" in refusal(fresh(method), method, tmp_path / "full")
    dora = METHODS["dora"](rank=2, alpha=6, dropout=0.0, targets=["q"])
    save_adapter(adapted(dora), dora, tmp_path / "dora")
    assert "set method=dora" in refusal(fresh(Full()), Full(), tmp_path / "dora")
    assert "set method=full" in refusal(fresh(), QV, tmp_path / "full")


def test_the_references_format_has_no_place_for_magnitudes(tmp_path):
    method = METHODS["dora"](rank=2, alpha=6, dropout=0.0, targets=["q", "v"])
    with pytest.raises(InputError, match=r"format=loralib .* use format=peft or merged"):
        export_loralib(adapted(method), tmp_path / "adapter.pt")
    assert not list(tmp_path.iterdir())


def test_a_model_without_an_adapter_has_none_to_export(tmp_path):
    with pytest.raises(InputError, match="no LoRA adapter"):
        export_loralib(small_gpt2(), tmp_path / "adapter.pt")
    assert not list(tmp_path.iterdir())
