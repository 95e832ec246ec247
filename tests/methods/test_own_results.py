"""What a method of the user's own gives is judged where it is taken."""

import pytest
import torch

from lora_lightning.errors import InputError
from lora_lightning.methods.full import Full
from lora_lightning.methods.lora import LoRALayer
from lora_lightning.methods.lora_method import LoRA
from lora_lightning.methods.method import check_state, extra_loss_of, rows_of
from tests.methods.models import small_gpt2


class OwnLayer(LoRALayer):
    def __init__(self, projection):
        super().__init__(projection, 1, 1, 0.0)


def own(base=Full, **functions):
    return type("Mine", (base,), functions)


@pytest.mark.parametrize("rows", [None, 3, ["attn"]])
def test_a_table_of_something_else_is_named(rows):
    method = own(parameter_table=lambda self, model: rows)()
    with pytest.raises(InputError, match=r"Mine.parameter_table\(\) gives no list of ParameterRow"):
        rows_of(method, small_gpt2())


@pytest.mark.parametrize("extra", [1.0, "much", torch.zeros(2)])
def test_a_loss_that_is_no_number_is_named(extra):
    method = own(extra_loss=lambda self, model: extra)()
    with pytest.raises(InputError, match=r"Mine.extra_loss\(\) gives a .*, where a tensor of one"):
        extra_loss_of(method, small_gpt2())


def test_what_a_checkpoint_keeps_has_to_be_taken_again():
    method = own(training_state=lambda self, model: {})()
    method.apply(model := small_gpt2())
    with pytest.raises(InputError, match=r"no load_training_state\(\)"):
        check_state(method, model)


def test_a_layer_that_is_built_from_other_arguments_is_named_and_the_model_stays():
    method = own(LoRA, layer_type=OwnLayer)(rank=2, alpha=2, dropout=0.0, targets=["q"])
    model = small_gpt2()
    with pytest.raises(InputError, match="OwnLayer is built from the arguments of LoRALayer"):
        method.apply(model)
    assert all(parameter.requires_grad for parameter in model.parameters())
