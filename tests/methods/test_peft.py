"""PEFT as a living oracle: it loads our folders, we load its."""

import warnings

import peft
import pytest
import torch
from torch import nn

from lora_lightning.methods.adapter_io import describe_adapter, load_adapter, save_adapter
from lora_lightning.methods.lora_method import LoRA
from tests.methods.models import TARGETS, adapted, fresh, logits, refusal, small_gpt2


def peft_folder(folder, **settings):
    """Make an adapter with PEFT, save it, and return the logits it gives."""
    plain = {"r": 3, "lora_alpha": 5, "target_modules": ["c_attn"], "fan_in_fan_out": True}
    model = peft.get_peft_model(small_gpt2(), peft.LoraConfig(**plain | settings)).eval()
    torch.manual_seed(1)
    for parameter in model.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    return logits(model)


@pytest.mark.parametrize("targets", TARGETS, ids=str)
def test_peft_loads_our_folder_without_a_warning_and_gives_equal_logits(tmp_path, targets):
    method = LoRA(rank=3, alpha=5, dropout=0.25, targets=targets)
    model = adapted(method)
    save_adapter(model, method, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # What transformers tells PEFT about names to come is not ours.
        warnings.simplefilter("ignore", FutureWarning)
        loaded = peft.PeftModel.from_pretrained(small_gpt2(), tmp_path)
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
    ],
    ids=str,
)
def test_a_folder_that_peft_made_loads_with_the_settings_it_describes(tmp_path, settings):
    if settings.get("target_modules") == "all-linear":
        settings |= {"task_type": "CAUSAL_LM"}
    expected = peft_folder(tmp_path, **settings)
    described = describe_adapter(tmp_path)
    assert described["rank"] == settings.get("r", 3)
    assert described["alpha"] == settings.get("lora_alpha", 5)
    assert described["dropout"] == settings.get("lora_dropout", 0.0)
    if isinstance(settings.get("target_modules", []), list):
        assert set(described["targets"]) == set(settings.get("target_modules", ["c_attn"]))
    method = LoRA(**described)
    model = fresh(method)
    load_adapter(model, method, tmp_path)
    torch.testing.assert_close(logits(model), expected, atol=1e-5, rtol=1e-5)


def test_a_folder_of_ours_that_peft_saved_again_still_loads(tmp_path):
    method = LoRA(rank=3, alpha=5, dropout=0.0, targets=["q", "v"])
    model = adapted(method)
    save_adapter(model, method, tmp_path / "ours")
    peft.PeftModel.from_pretrained(small_gpt2(), tmp_path / "ours").save_pretrained(
        tmp_path / "theirs"
    )
    whole = LoRA(**describe_adapter(tmp_path / "theirs"))
    assert (whole.rank, whole.alpha, whole.targets) == (6, 10, ["c_attn"])
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
        {"use_rslora": True},
        {"use_dora": True},
        {"bias": "lora_only"},
        {"modules_to_save": ["ln_f"]},
        {"init_lora_weights": "pissa"},
    ],
    ids=str,
)
def test_more_than_plain_lora_is_refused_by_name(tmp_path, feature):
    peft_folder(tmp_path, **feature)
    method = LoRA(rank=3, alpha=5, dropout=0.0, targets=["c_attn"])
    assert f"{next(iter(feature))}=" in refusal(fresh(method), method, tmp_path)
