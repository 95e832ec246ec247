"""The losses: equal to the reference, torch and transformers, and blind to what is not masked."""

import json
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch.func import functional_call
from torch.nn import functional
from transformers.models.gpt2 import GPT2Config, GPT2LMHeadModel

from lora_lightning.errors import InputError
from lora_lightning.training.loss import (
    CompletionLoss,
    JointLoss,
    batch_loss,
    validation_statistics,
)
from tests.goldens import golden

VOCAB, WIDTH, TOKENS = 11, 6, 21


def make_batch(seed: int) -> SimpleNamespace:
    """Packed tokens with at least one completion label, whose last position has no target."""
    generator = torch.Generator().manual_seed(seed)
    completion = torch.rand(TOKENS, generator=generator) < 0.5
    completion[1], completion[-1] = True, False
    return SimpleNamespace(
        targets=torch.randint(VOCAB, (TOKENS,), generator=generator),
        completion_positions=completion.nonzero()[:, 0],
        joint_positions=torch.arange(TOKENS - 1),
        row_ids=(0, 1, 2),
    )


def make_states(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Hidden states (tokens, width) and a head (vocab, width)."""
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(TOKENS, WIDTH, generator=generator)
    return hidden, torch.randn(VOCAB, WIDTH, generator=generator)


def loss_of(loss, hidden, head, batch):
    """What training does with a loss: hidden states only where it looks."""
    positions = loss.positions(batch)
    return loss(hidden[positions], head, batch.targets[positions]).smoothed


def golden_loss(loss, logits, tensors):
    """The loss of given logits (rows, time, vocab)."""
    kept = tensors["mask"].bool()
    return loss(logits[kept], torch.eye(logits.shape[-1]), tensors["target"][kept]).smoothed


@pytest.mark.parametrize(("name", "smoothing"), [("loss_smooth_0p1", 0.1), ("loss_plain", 0.0)])
def test_loss_of_the_references_logits_is_the_references(name, smoothing):
    tensors = load_file(golden("lora", "mini_forward.safetensors"))
    loss = golden_loss(CompletionLoss(smoothing), tensors["logits"], tensors)
    torch.testing.assert_close(loss, tensors[name].squeeze(), atol=1e-5, rtol=0)


def test_gradients_of_the_smoothed_loss_are_the_references():
    tensors = load_file(golden("lora", "mini_forward.safetensors"))
    shape = json.loads(golden("lora", "mini.json").read_text())
    checkpoint = torch.load(golden("lora", "mini_full.pt"), weights_only=True)
    weights = {
        name.removeprefix("module."): tensor
        for name, tensor in checkpoint["model_state_dict"].items()
        if not name.endswith(".attn.bias")
    }
    del weights["lm_head.decoder.weight"]  # tied
    lora = {name: weights.pop(name).requires_grad_() for name in list(weights) if "lora_" in name}
    width, scale = shape["n_embd"], shape["alpha"] / shape["rank"]
    for name in [name for name in weights if name.endswith("c_attn.weight")]:
        # (2, rank, width) and (2, width, rank): first q, then v; the key between gets nothing.
        down = lora[name.replace("weight", "lora_A")].view(2, -1, width)
        up = lora[name.replace("weight", "lora_B")].view(2, width, -1)
        query, value = scale * (up @ down).transpose(1, 2)
        weights[name] = weights[name] + torch.cat([query, 0 * query, value], dim=1)
    config = GPT2Config(
        **{key: shape[key] for key in ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head")},
        **dict.fromkeys(("embd_pdrop", "attn_pdrop", "resid_pdrop"), 0.0),
    )
    logits = functional_call(GPT2LMHeadModel(config), weights, (tensors["input"],)).logits
    loss = golden_loss(CompletionLoss(0.1), logits, tensors)
    loss.backward()
    torch.testing.assert_close(loss, tensors["loss_smooth_0p1"].squeeze(), atol=1e-5, rtol=0)
    for name, tensor in lora.items():
        torch.testing.assert_close(tensor.grad, tensors[f"grad.{name}"], atol=1e-5, rtol=0)


def test_smoothing_up_to_1e_4_is_none():
    (hidden, head), batch = make_states(0), make_batch(0)
    plain = loss_of(CompletionLoss(0.0), hidden, head, batch)
    assert torch.equal(loss_of(CompletionLoss(1e-4), hidden, head, batch), plain)
    assert not torch.equal(loss_of(CompletionLoss(2e-4), hidden, head, batch), plain)


def test_the_loss_without_smoothing_stands_beside_the_one_that_is_trained():
    (hidden, head), batch = make_states(2), make_batch(2)
    kept = batch.completion_positions
    both = CompletionLoss(0.1)(hidden[kept], head, batch.targets[kept])
    assert torch.equal(both.unsmoothed, loss_of(CompletionLoss(0.0), hidden, head, batch))
    assert not both.unsmoothed.requires_grad
    assert both.smoothed != both.unsmoothed


def test_targets_stand_one_to_the_left_as_transformers_shifts_its_labels():
    torch.manual_seed(0)
    model = GPT2LMHeadModel(
        GPT2Config(vocab_size=VOCAB, n_positions=8, n_embd=8, n_layer=1, n_head=2)
    )
    model.eval()
    ids = torch.randint(VOCAB, (1, 8))
    hidden = model.transformer(ids)[0][0, :-1]
    loss = JointLoss()(hidden, model.lm_head.weight, ids[0, 1:]).smoothed
    torch.testing.assert_close(loss * (7 + 1e-4) / 7, model(ids, labels=ids).loss)


def test_the_denominator_is_the_number_of_labels_plus_1e_4():
    assert batch_loss(torch.tensor(3.0), 1).item() == pytest.approx(3 / 1.0001)


def test_completion_and_joint_loss_differ_in_their_positions_alone():
    (hidden, head), batch = make_states(1), make_batch(1)
    completion, joint = CompletionLoss(0.1), JointLoss(0.1)
    assert torch.equal(completion.positions(batch), batch.completion_positions)
    assert torch.equal(joint.positions(batch), batch.joint_positions)
    batch.joint_positions = batch.completion_positions
    assert torch.equal(
        loss_of(joint, hidden, head, batch), loss_of(completion, hidden, head, batch)
    )


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), smoothing=st.sampled_from([0.0, 0.1]))
def test_what_the_loss_is_multiplied_with_changes_its_rounding_alone(seed, smoothing):
    (hidden, head), batch = make_states(seed), make_batch(seed)
    loss, positions = CompletionLoss(smoothing), batch.completion_positions
    gradients = []
    for share in (1.0, 1 / 3):
        states = hidden[positions].requires_grad_()
        whole = loss(states, head, batch.targets[positions], share).smoothed
        torch.testing.assert_close(whole, loss_of(loss, hidden, head, batch))
        (whole / 3).backward()
        gradients.append(states.grad)
    torch.testing.assert_close(*gradients)


def test_a_training_batch_without_labels_is_an_error_that_names_its_rows():
    batch = make_batch(3)
    batch.completion_positions = batch.completion_positions[:0]
    batch.row_ids = (17, 4, 29)
    with pytest.raises(InputError, match=r"17, 4, 29.*data\.max_length"):
        CompletionLoss(0.1).positions(batch)


def test_a_validation_batch_without_labels_has_loss_zero():
    hidden, head = make_states(3)
    statistics = validation_statistics(hidden[:0], head, torch.zeros(0, dtype=torch.int64))
    assert [float(value) for value in statistics] == [0, 0, 0]


def test_validation_is_unsmoothed():
    (hidden, head), batch = make_states(4), make_batch(4)
    kept = batch.completion_positions
    statistics = validation_statistics(hidden[kept], head, batch.targets[kept])
    log_probability = functional.log_softmax(hidden @ head.T, dim=-1)
    picked = log_probability.gather(-1, batch.targets[:, None])[:, 0]
    torch.testing.assert_close(statistics.total, -picked[kept].sum())
    assert statistics.labels == len(kept)
    torch.testing.assert_close(
        statistics.batch_loss, loss_of(CompletionLoss(0.0), hidden, head, batch)
    )
