"""Dropout: torch's distribution and gradient, drawn faster."""

import pytest
import torch
from torch import nn

from lora_lightning.methods.dropout import CheapDropout

X = torch.linspace(0.5, 2, 400_000).view(800, 500)


def dropped(p, seed=0):
    torch.manual_seed(seed)
    return CheapDropout(p).train()(X)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_the_share_that_is_dropped_is_p(p):
    assert (dropped(p) == 0).float().mean().item() == pytest.approx(p, abs=0.005)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_what_is_kept_is_scaled_so_that_the_mean_stays(p):
    kept = dropped(p)
    torch.testing.assert_close(kept[kept != 0], X[kept != 0] / (1 - p), atol=0, rtol=1e-3)
    assert kept.mean().item() == pytest.approx(X.mean().item(), rel=0.02)


def test_every_place_is_as_likely_to_be_dropped():
    masks = torch.stack([CheapDropout(0.3).train()(torch.ones(64)) == 0 for _ in range(3000)])
    torch.testing.assert_close(masks.float().mean(0), torch.full((64,), 0.3), atol=0.04, rtol=0)
    neighbours = (masks[:, 1:] & masks[:, :-1]).float().mean(0)
    torch.testing.assert_close(neighbours, torch.full((63,), 0.09), atol=0.03, rtol=0)


def test_a_seed_decides_the_mask():
    assert torch.equal(dropped(0.3, seed=4), dropped(0.3, seed=4))
    assert not torch.equal(dropped(0.3, seed=4), dropped(0.3, seed=5))


def test_the_gradient_goes_where_the_input_went():
    x = X.clone().requires_grad_()
    torch.manual_seed(0)
    result = CheapDropout(0.3).train()(x)
    result.sum().backward()
    torch.testing.assert_close(x.grad, result.detach() / X)


@pytest.mark.parametrize("shape", [(), (1,), (3, 5), (2, 0), (7,)])
def test_any_shape_is_taken(shape):
    assert CheapDropout(0.3).train()(torch.ones(shape)).shape == shape


def test_evaluation_and_p_0_change_nothing():
    assert CheapDropout(0.3).eval()(X) is X
    assert torch.equal(CheapDropout(0.0).train()(X), X)
    assert not CheapDropout(1.0).train()(X).any()
    assert isinstance(CheapDropout(0.1), nn.Dropout)
