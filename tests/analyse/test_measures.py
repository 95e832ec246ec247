"""Singular values, subspaces and amplification of matrices whose answers are known."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lora_lightning.analyse.measures import amplification, subspace_similarity
from lora_lightning.analyse.updates import (
    Decomposition,
    leading_decomposition,
    low_rank_decomposition,
    slice_updates,
    truncate,
)
from lora_lightning.errors import InputError
from lora_lightning.methods.dora import DoRALayer
from lora_lightning.methods.lora import LoRALayer


def columns(size, *numbers):
    return torch.eye(size, dtype=torch.float64)[:, list(numbers)]


@given(st.integers(1, 4), st.integers(4, 7), st.integers(4, 7), st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_a_product_is_taken_apart_as_the_whole_matrix_is(rank, out, inner, seed):
    torch.manual_seed(seed)
    up, down = torch.randn(out, rank), torch.randn(rank, inner)
    parts = low_rank_decomposition(up, down)
    whole = torch.linalg.svdvals(up.double() @ down.double())
    torch.testing.assert_close(parts.values, whole[:rank])
    again = parts.left @ torch.diag(parts.values) @ parts.right.T
    torch.testing.assert_close(again, up.double() @ down.double())


def test_similarity_of_the_same_and_of_orthogonal_directions():
    same = subspace_similarity(columns(5, 0, 1), columns(5, 0, 1, 2))
    torch.testing.assert_close(same, torch.tensor([[1.0, 1, 1], [1, 1, 1]], dtype=torch.float64))
    assert subspace_similarity(columns(5, 0, 1), columns(5, 3, 4)).max() == 0


def test_similarity_counts_shared_directions_over_those_of_the_smaller_subspace():
    # The second's directions are the first's in the other order, then a new one.
    grid = subspace_similarity(columns(4, 0, 1, 2), columns(4, 1, 0))
    expected = [[0, 1], [1, 1], [1, 1]]
    torch.testing.assert_close(grid, torch.tensor(expected, dtype=torch.float64))
    half = columns(4, 0) * 0.5**0.5 + columns(4, 1) * 0.5**0.5
    assert subspace_similarity(columns(4, 0), half).item() == pytest.approx(0.5)


def test_amplification_of_a_direction_that_the_base_hardly_uses():
    weight = torch.diag(torch.tensor([4.0, 3, 0.1], dtype=torch.float64))
    update = Decomposition(columns(3, 2), torch.tensor([2.0], dtype=torch.float64), columns(3, 2))
    measured = amplification(weight, update)
    assert measured.along_update == pytest.approx(0.1)
    assert measured.along_weight == pytest.approx(4)
    assert measured.update_norm == pytest.approx(2)
    assert measured.weight_norm == pytest.approx((16 + 9 + 0.01) ** 0.5)
    assert measured.factor == pytest.approx(20)
    assert 0 < measured.along_random <= 4


@pytest.mark.parametrize("layer_type", [LoRALayer, DoRALayer])
def test_the_update_of_each_slice_is_that_which_merging_adds(layer_type):
    torch.manual_seed(0)
    model = nn.ModuleDict({"c_attn": layer_type(nn.Linear(6, 12), 2, 8, 0, (0, 2), 3)})
    layer = model["c_attn"]
    with torch.no_grad():
        layer.lora_B.normal_()
    found = slice_updates(model)
    assert [update.name for update in found] == ["c_attn [q]", "c_attn [v]"]
    for update, position in zip(found, (0, 2), strict=True):
        added = layer.delta_weight()[4 * position : 4 * position + 4].double()
        expected = leading_decomposition(added, 2)
        torch.testing.assert_close(update.update.values, expected.values, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(
            update.weight, layer.base.weight[4 * position : 4 * position + 4].double()
        )


def test_truncation_keeps_the_best_matrix_of_each_rank():
    torch.manual_seed(0)
    layer = LoRALayer(nn.Linear(6, 12), 3, 6, 0, (0, 2), 3)
    with torch.no_grad():
        layer.lora_B.normal_()
    before = layer.delta_weight().clone()
    values = [torch.linalg.svdvals(part.double()) for part in before.split(4)]
    for rank in (3, 2, 1, 0):
        truncate(nn.ModuleDict({"x": layer}), rank)
        for part, now, sigma in zip(
            before.split(4), layer.delta_weight().split(4), values, strict=True
        ):
            lost = torch.linalg.matrix_norm((part - now).detach().double())
            assert lost == pytest.approx(sigma[rank:].norm().item(), abs=1e-5)


def test_a_model_without_low_rank_updates_is_refused():
    with pytest.raises(InputError, match="no low-rank update"):
        slice_updates(nn.ModuleDict({"c_attn": nn.Linear(2, 2)}))
