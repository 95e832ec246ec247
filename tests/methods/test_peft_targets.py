"""What a configuration of PEFT names has to be there, and its numbers in their ranges."""

import peft
import pytest

from lora_lightning.errors import InputError
from lora_lightning.methods.peft_method import PEFT
from tests.methods.models import small_gpt2

LORA, VERA = peft.LoraConfig, peft.VeraConfig
FITS = {"target_modules": ["c_attn"]}


@pytest.mark.parametrize(("kind", "settings", "said"), [
    (VERA, {"target_modules": ["c_attn", "c_atn"]}, "target_modules: 'c_atn' fits no module"),
    (LORA, FITS | {"exclude_modules": ["c_prj"]}, "exclude_modules: 'c_prj' fits no module"),
    (LORA, FITS | {"modules_to_save": ["head"]}, "modules_to_save: 'head' fits no module"),
    (LORA, FITS | {"rank_pattern": {"h.9.attn.c_attn": 2}}, "rank_pattern: 'h.9.attn.c_attn' fits"),
    (LORA, FITS | {"alpha_pattern": {r".*\.c_atn": 2}}, "alpha_pattern: .* fits no module"),
    (LORA, FITS | {"layers_to_transform": [0, 9]}, "layers_to_transform: 9 is none of the model's"),
    (LORA, FITS | {"layers_to_transform": 9}, "layers_to_transform: 9 is none of the model's"),
    (LORA, {"target_modules": ["wte"]}, "target_modules: 'wte' is tied"),
    (LORA, {"target_modules": ["lm_head"]}, "target_modules: 'lm_head' is tied"),
    (LORA, {"target_modules": ".*"}, r"target_modules: '\.\*' is tied"),
    (LORA, FITS | {"modules_to_save": ["lm_head"]}, "modules_to_save: 'lm_head' is tied"),
    (LORA, FITS | {"trainable_token_indices": [1]}, "trainable_token_indices: .* is tied"),
    (LORA, {"target_modules": "(("}, r"with target_modules=\(\(: PEFT refuses this"),
])  # fmt: skip
def test_a_name_that_fits_nothing_or_the_embedding_is_refused_by_its_key(kind, settings, said):
    with pytest.raises(InputError, match=said):
        PEFT(kind(**settings)).apply(small_gpt2())


@pytest.mark.parametrize("settings", [
    {"target_modules": ["h.0.attn.c_attn", "mlp.c_proj"], "exclude_modules": ["h.1.mlp.c_proj"]},
    {"target_modules": "all-linear"},
    {"target_modules": r".*\.c_attn"},
    FITS | {"rank_pattern": {r"h\.\d\.attn\.c_attn": 2}, "alpha_pattern": {"c_attn": 2}},
    FITS | {"modules_to_save": ["ln_1"], "layers_to_transform": 0},
])  # fmt: skip
def test_names_and_patterns_that_fit_are_taken(settings):
    model = small_gpt2()
    PEFT(LORA(**settings)).apply(model)
    assert any(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize(("config", "said"), [
    (lambda: LORA(r=0, **FITS), "method.config.r=0: allowed is a whole number >= 1"),
    (lambda: VERA(r=-1, **FITS), "method.config.r=-1: allowed is"),
    (lambda: peft.AdaLoraConfig(total_step=9, deltaT=0), "method.config.deltaT=0: allowed is"),
    (lambda: peft.AdaLoraConfig(total_step=9, tfinal=-1), "method.config.tfinal=-1: allowed is"),
    (lambda: peft.AdaLoraConfig(total_step=9, beta1=1.0), "method.config.beta1=1.0: allowed is"),
    (lambda: peft.AdaLoraConfig(total_step=9, init_r=2, target_r=4), "target_r=4 is more than"),
    (lambda: peft.PeftConfig(), "gives a PeftConfig; name a configuration"),
    (lambda: LORA(init_lora_weights=["eva"]), "init_lora_weights=.* allowed is true"),
])  # fmt: skip
def test_a_number_that_peft_would_fall_over_is_refused_by_its_key(config, said):
    with pytest.raises(InputError, match=said):
        PEFT(config())


@pytest.mark.parametrize(("tinit", "tfinal", "updates"), [(0, 0, 1), (2, 3, 5), (0, 4, 5)])
def test_adalora_needs_an_update_in_which_ranks_may_fall(tinit, tfinal, updates):
    method = PEFT(peft.AdaLoraConfig(total_step=99, tinit=tinit, tfinal=tfinal, **FITS))
    method.apply(model := small_gpt2())
    with pytest.raises(InputError, match=f"none of the run's {updates} updates"):
        method.begin(model, updates)
