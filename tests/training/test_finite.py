"""Where a loss or gradient stops being finite: the update, its rows, the module."""

import math

import pytest
import torch

from lora_lightning.data.batching import collate
from lora_lightning.errors import InputError
from lora_lightning.training.finite import FiniteWatch, largest_activation
from tests.gpt2.test_forward import make_rows
from tests.methods.models import adapted

FINE = torch.tensor(1.0)


def batch(row_ids=(7, 3)):
    return collate(make_rows([(4, 9), (7, 3)]), row_ids)


def test_finite_updates_pass_and_are_forgotten():
    watch = FiniteWatch()
    watch.note(1, [batch()], FINE, FINE)
    watch.check(adapted())
    watch.check(adapted())


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_the_first_bad_update_is_named_with_all_its_rows(broken):
    watch = FiniteWatch()
    watch.note(4, [batch()], FINE, FINE)
    watch.note(5, [batch(), batch((8, 1))], torch.tensor(broken), FINE)
    watch.note(6, [batch((5, 6))], torch.tensor(broken), FINE)
    with pytest.raises(InputError, match=rf"update 5: the loss is {broken} on rows \[7, 3, 8, 1\]"):
        watch.check(adapted())


def test_a_gradient_that_is_not_finite_is_told_apart_from_a_loss():
    watch = FiniteWatch()
    watch.note(2, [batch()], FINE, torch.tensor(math.inf))
    with pytest.raises(InputError, match="update 2: the gradient is inf"):
        watch.check(adapted())


def test_the_largest_activation_is_found_where_it_arises():
    model = adapted()
    with torch.no_grad():
        model.transformer.h[1].mlp.c_fc.bias[3] = 1e6
    name, size = largest_activation(model, [batch()])
    assert name == "transformer.h.1.mlp.c_fc"
    assert size == pytest.approx(1e6, rel=1e-3)


def test_the_first_module_that_is_not_finite_counts_as_the_largest():
    model = adapted().train()
    with torch.no_grad():
        model.transformer.h[0].mlp.c_proj.bias[0] = math.nan
    name, size = largest_activation(model, [batch()])
    assert name == "transformer.h.0.mlp.c_proj"
    assert math.isnan(size)
    assert model.training
