"""PEFT as a living oracle: it loads our folders, we load its."""

import warnings

import peft
import pytest
import torch
from packaging.version import Version
from safetensors.torch import load_file, save_file
from torch import nn

from lora_lightning.methods.adapter_files import (
    adapter_method,
    describe_adapter,
    load_adapter,
    save_adapter,
)
from lora_lightning.methods.inject import lora_layers, merge_adapters
from lora_lightning.methods.lora_method import LoRA
from tests.methods.models import METHODS, TARGETS, adapted, fresh, logits, refusal, small_gpt2

ALL_LINEAR = ["c_attn", "c_proj", "c_fc"]


def described_method(folder):
    """The method that a folder describes."""
    return METHODS[adapter_method(folder)](**describe_adapter(folder))


def as_peft(folder, **settings):
    """Our folder as PEFT loads it, without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # What transformers tells PEFT about names to come is not ours.
        warnings.simplefilter("ignore", FutureWarning)
        return peft.PeftModel.from_pretrained(small_gpt2(), folder, **settings)


def peft_folder(folder, **settings):
    """Make an adapter with PEFT, save it, and return the logits it gives."""
    plain = {"r": 3, "lora_alpha": 5, "target_modules": ["c_attn"], "fan_in_fan_out": True}
    model = peft.get_peft_model(small_gpt2(), peft.LoraConfig(**plain | settings)).eval()
    torch.manual_seed(1)
    for parameter in model.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.3)
    for name, parameter in model.named_parameters():
        if "magnitude" in name:
            nn.init.uniform_(parameter, 0.5, 1.5)
    model.save_pretrained(folder)
    return logits(model)


@pytest.mark.parametrize("bias", ["none", "lora_only", "all"])
@pytest.mark.parametrize("choice", METHODS)
@pytest.mark.parametrize("targets", [*TARGETS, ALL_LINEAR], ids=str)
def test_peft_loads_our_folder_without_a_warning_and_gives_equal_logits(
    tmp_path, choice, targets, bias
):
    method = METHODS[choice](rank=3, alpha=5, dropout=0.25, targets=targets, bias=bias)
    model = adapted(method)
    save_adapter(model, method, tmp_path)
    loaded = as_peft(tmp_path)
    torch.testing.assert_close(logits(loaded.eval()), logits(model), atol=1e-5, rtol=1e-5)
    merged = loaded.merge_and_unload()
    torch.testing.assert_close(logits(merged), logits(model), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"r": 8, "lora_alpha": 4, "lora_dropout": 0.1},
        {"target_modules": ["attn.c_proj"]},
        {"target_modules": ["c_attn", "c_proj", "c_fc"]},
        {"target_modules": r".*\.mlp\.c_(fc|proj)"},
        {"target_modules": "all-linear"},
        {"task_type": "CAUSAL_LM", "init_lora_weights": "gaussian"},
        {"use_rslora": True, "r": 8},
        {"use_dora": True},
        {"use_dora": True, "target_modules": ["c_attn", "c_proj", "c_fc"], "lora_dropout": 0.1},
        {"use_dora": True, "use_rslora": True},
        {"bias": "lora_only", "target_modules": ["c_attn", "mlp.c_proj"]},
        {"bias": "all"},
        {"bias": "all", "use_dora": True, "target_modules": "all-linear"},
    ],
    ids=str,
)
def test_a_folder_that_peft_made_loads_with_the_settings_it_describes(tmp_path, settings):
    if settings.get("target_modules") == "all-linear":
        settings |= {"task_type": "CAUSAL_LM"}
    expected = peft_folder(tmp_path, **settings)
    described = describe_adapter(tmp_path)
    is_both = "use_dora" in settings and "use_rslora" in settings
    assert described["rank"] == settings.get("r", 3)
    assert described["alpha"] == settings.get("lora_alpha", 5) * (3**0.5 if is_both else 1)
    assert described["dropout"] == settings.get("lora_dropout", 0.0)
    assert described["bias"] == settings.get("bias", "none")
    if isinstance(settings.get("target_modules", []), list):
        assert set(described["targets"]) == set(settings.get("target_modules", ["c_attn"]))
    method = described_method(tmp_path)
    model = fresh(method)
    load_adapter(model, method, tmp_path)
    torch.testing.assert_close(logits(model), expected, atol=1e-5, rtol=1e-5)
    merge_adapters(model)
    torch.testing.assert_close(logits(model), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.skipif(
    Version(peft.__version__) < Version("0.19"), reason="such a PEFT does not save biases again"
)
@pytest.mark.parametrize(("choice", "alpha"), [("lora", 10), ("rslora", 5 * 2**0.5), ("dora", 10)])
def test_a_folder_of_ours_that_peft_saved_again_still_loads(tmp_path, choice, alpha):
    method = METHODS[choice](rank=3, alpha=5, dropout=0.0, targets=["q", "v"], bias="lora_only")
    model = adapted(method)
    save_adapter(model, method, tmp_path / "ours")
    as_peft(tmp_path / "ours").save_pretrained(tmp_path / "theirs")
    whole = described_method(tmp_path / "theirs")
    assert (whole.rank, whole.alpha, whole.targets) == (6, alpha, ["c_attn"])
    for settings in (whole, method):
        loaded = fresh(settings)
        load_adapter(loaded, settings, tmp_path / "theirs")
        torch.testing.assert_close(logits(loaded), logits(model), atol=1e-5, rtol=1e-5)


def test_the_alpha_of_a_single_module_counts(tmp_path):
    peft_folder(tmp_path, alpha_pattern={"c_attn": 7})
    method = LoRA(rank=3, alpha=7, dropout=0.0, targets=["c_attn"])
    load_adapter(fresh(method), method, tmp_path)
    method = LoRA(rank=3, alpha=5, dropout=0.0, targets=["c_attn"])
    assert "7 / 3" in refusal(fresh(method), method, tmp_path)


@pytest.mark.parametrize(
    ("ours", "message"),
    [
        ({"rank": 4}, "has rank 3, but method.rank=4"),
        ({"alpha": 6}, "alpha / rank = 5 / 3"),
        ({"targets": ["q", "v"]}, "has rank 3"),
        ({"targets": ["v"]}, "adapts more than the method.targets"),
        ({"targets": ["c_attn", "c_fc"]}, "mlp.c_fc.lora_A is missing"),
        ({"targets": ["c_fc"]}, "mlp.c_fc.lora_A"),
    ],
    ids=str,
)
def test_other_settings_than_the_folders_are_refused(tmp_path, ours, message):
    peft_folder(tmp_path)
    settings = {"rank": 3, "alpha": 5, "dropout": 0.0, "targets": ["c_attn"]} | ours
    method = LoRA(**settings)
    found = refusal(fresh(method), method, tmp_path)
    assert message in found
    if "missing" not in found:
        assert "set method.rank=3 method.alpha=5 method.targets=[c_attn]" in found


@pytest.mark.parametrize(
    "feature",
    [
        {"lora_bias": True},
        {"modules_to_save": ["ln_f"]},
        {"init_lora_weights": "pissa"},
    ],
    ids=str,
)
def test_what_no_method_computes_is_refused_by_name(tmp_path, feature):
    peft_folder(tmp_path, **feature)
    method = LoRA(rank=3, alpha=5, dropout=0.0, targets=["c_attn"])
    assert f"{next(iter(feature))}=" in refusal(fresh(method), method, tmp_path)


def loss_of(model):
    """A loss that every logit enters."""
    ids = torch.randint(50, (2, 7), generator=torch.Generator().manual_seed(0))
    return model(input_ids=ids).logits.log_softmax(-1).square().mean()


def gradient_blocks(layer, gradients):
    """The gradients of PEFT's A, B and magnitudes, of which only our slices are taken."""
    grad_a, grad_b, *magnitudes = gradients
    rows = grad_b.view(layer.num_slices, layer.slice_features, len(layer.slices), layer.rank)
    blocks = [rows[position, :, block] for block, position in enumerate(layer.slices)]
    return [grad_a, torch.cat(blocks), *map(layer.take_adapted, magnitudes)]


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("targets", [["q", "v"], ["k"], ["c_attn"], ALL_LINEAR], ids=str)
def test_doras_loss_and_gradients_equal_pefts(tmp_path, targets, dropout):
    method = METHODS["dora"](rank=3, alpha=5, dropout=dropout, targets=targets, bias="all")
    ours = adapted(method)
    save_adapter(ours, method, tmp_path)
    theirs = as_peft(tmp_path, is_trainable=True)
    for name, layer in lora_layers(ours).items():  # the mask is drawn in the same way
        theirs.get_submodule(f"base_model.model.{name}").lora_dropout["default"] = layer.dropout
    losses = []
    for model in (ours.train(), theirs.train()):
        torch.manual_seed(5)  # one dropout mask for both
        losses.append(loss_of(model))
        losses[-1].backward()
    torch.testing.assert_close(*losses, atol=1e-6, rtol=1e-6)
    for name, layer in lora_layers(ours).items():
        wrapped = theirs.get_submodule(f"base_model.model.{name}")
        modules = (wrapped.lora_A, wrapped.lora_B, wrapped.lora_magnitude_vector)
        expected = gradient_blocks(layer, [module["default"].weight.grad for module in modules])
        found = [parameter.grad for parameter in layer.adapter_parameters().values()]
        for gradient, peft_gradient in zip(found, expected, strict=True):
            scale = peft_gradient.abs().max().item()
            torch.testing.assert_close(gradient, peft_gradient, atol=1e-5 * scale, rtol=0)
        torch.testing.assert_close(layer.base.bias.grad, wrapped.base_layer.bias.grad)


def test_magnitudes_of_outputs_that_the_targets_leave_out_are_not_dropped(tmp_path):
    method = METHODS["dora"](rank=3, alpha=5, dropout=0.0, targets=["q", "v"])
    save_adapter(adapted(method), method, tmp_path)
    (tmp_path / "lora_lightning.json").unlink()
    file = tmp_path / "adapter_model.safetensors"
    tensors = load_file(file)
    name = "base_model.model.transformer.h.1.attn.c_attn.lora_magnitude_vector"
    tensors[name][20] *= 1.1  # one of k's 16
    save_file(tensors, file)
    assert "scales more than the method.targets" in refusal(fresh(method), method, tmp_path)


def test_an_adapter_of_other_biases_or_kind_is_refused_with_what_fits(tmp_path):
    peft_folder(tmp_path, use_dora=True, bias="all")
    plain = LoRA(rank=3, alpha=5, dropout=0.0, targets=["c_attn"])
    message = refusal(fresh(plain), plain, tmp_path)
    assert "is a dora adapter, but method=lora" in message
    assert message.endswith(
        "set method=dora method.rank=3 method.alpha=5 method.targets=[c_attn] method.bias=all"
    )


def test_rslora_needs_no_method_of_its_own_where_the_scale_is_the_same(tmp_path):
    expected = peft_folder(tmp_path, use_rslora=True, r=4)
    for method in (
        METHODS["rslora"](rank=4, alpha=5, dropout=0.0, targets=["c_attn"]),
        LoRA(rank=4, alpha=10, dropout=0.0, targets=["c_attn"]),
    ):
        model = fresh(method)
        load_adapter(model, method, tmp_path)
        torch.testing.assert_close(logits(model), expected, atol=1e-5, rtol=1e-5)
    other = LoRA(rank=4, alpha=5, dropout=0.0, targets=["c_attn"])
    assert "alpha / √rank = 5 / √4" in refusal(fresh(other), other, tmp_path)
