"""Cross-entropy in chunks: torch's values and gradients, at a memory that does not grow."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from lora_lightning.training import cross_entropy
from lora_lightning.training.cross_entropy import linear_cross_entropy_sum

VOCAB, WIDTH = 11, 6


def make(labels: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Hidden states, head and targets."""
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(labels, WIDTH, generator=generator).requires_grad_(),
        torch.randn(VOCAB, WIDTH, generator=generator).requires_grad_(),
        torch.randint(VOCAB, (labels,), generator=generator),
    )


@pytest.fixture(params=[1, 3, 100], ids="chunks of {}".format)
def chunk(request, monkeypatch):
    monkeypatch.setattr(cross_entropy, "CHUNK_BYTES", 4 * VOCAB * request.param)


def test_smoothing_by_hand():
    # p = (1/2, 1/4, 1/4): -log p = (1, 2, 2)·log 2, their mean 5/3·log 2.
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.25]]))
    loss = linear_cross_entropy_sum(logits, torch.eye(3), torch.tensor([0]), label_smoothing=0.3)
    expected = (0.7 * 1 + 0.3 * 5 / 3) * torch.log(torch.tensor(2.0))
    torch.testing.assert_close(loss, expected)


@pytest.mark.usefixtures("chunk")
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("labels", [0, 1, 7])
def test_loss_and_both_gradients_are_torchs(labels, smoothing):
    hidden, head, targets = make(labels)
    oracle = functional.cross_entropy(
        functional.linear(hidden, head), targets, reduction="sum", label_smoothing=smoothing
    )
    expected = torch.autograd.grad(oracle, (hidden, head))
    loss = linear_cross_entropy_sum(hidden, head, targets, smoothing)
    found = torch.autograd.grad(loss, (hidden, head))
    torch.testing.assert_close((loss, *found), (oracle, *expected))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), factor=st.sampled_from([1.0, 0.3, 1e-3]))
def test_the_factor_only_rounds(seed, factor):
    hidden, head, targets = make(5, seed)
    plain = torch.autograd.grad(linear_cross_entropy_sum(hidden, head, targets, 0.1), hidden)
    loss = linear_cross_entropy_sum(hidden, head, targets, 0.1, factor)
    torch.testing.assert_close(torch.autograd.grad(loss, hidden), plain)


def test_a_frozen_head_gets_no_gradient():
    hidden, head, targets = make(5)
    linear_cross_entropy_sum(hidden, head.requires_grad_(False), targets).backward()
    assert hidden.grad is not None
    assert head.grad is None


def test_without_grad_mode_nothing_is_prepared_for_a_backward_pass():
    hidden, head, targets = make(5)
    with torch.no_grad():
        assert not linear_cross_entropy_sum(hidden, head, targets).requires_grad


def test_a_bfloat16_head_has_a_float32_loss():
    hidden, head, targets = make(5)
    loss = linear_cross_entropy_sum(hidden.bfloat16(), head.bfloat16(), targets, 0.1)
    assert loss.dtype == torch.float32
    exact = linear_cross_entropy_sum(hidden, head, targets, 0.1)
    torch.testing.assert_close(loss, exact, atol=0.2, rtol=0)


def test_logits_of_all_labels_never_exist_at_once(monkeypatch):
    monkeypatch.setattr(cross_entropy, "CHUNK_BYTES", 4 * VOCAB * 4)
    largest = 0
    softmax = torch.softmax

    def watched(logits, dim, out):
        nonlocal largest
        largest = max(largest, len(logits))
        return softmax(logits, dim, out=out)

    monkeypatch.setattr(torch, "softmax", watched)
    for labels in (8, 800):
        hidden, head, targets = make(labels)
        linear_cross_entropy_sum(hidden, head, targets).backward()
    assert largest == 4
