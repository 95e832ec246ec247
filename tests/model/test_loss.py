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
from lora_lightning.model.loss import (
    CompletionLoss,
    JointLoss,
    batch_loss,
    cross_entropy_sum,
    label_hidden_states,
    label_logits,
    validation_statistics,
)
from tests.goldens import golden

VOCAB, WIDTH, ROWS, TIME = 11, 6, 3, 7


def make_batch(seed: int) -> SimpleNamespace:
    """A batch with at least one label, whose last position has no target."""
    generator = torch.Generator().manual_seed(seed)
    joint = torch.ones(ROWS, TIME, dtype=torch.bool)
    joint[:, -1] = False
    completion = joint & (torch.rand(ROWS, TIME, generator=generator) < 0.5)
    completion[0, 1] = True
    return SimpleNamespace(
        targets=torch.randint(VOCAB, (ROWS, TIME), generator=generator),
        completion_mask=completion,
        joint_mask=joint,
        row_ids=tuple(range(ROWS)),
    )


def make_states(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Hidden states (rows, time, width) and a head (vocab, width)."""
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(ROWS, TIME, WIDTH, generator=generator)
    return hidden, torch.randn(VOCAB, WIDTH, generator=generator)


def from_logits(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Hidden states and a head that give exactly these logits."""
    return logits, torch.eye(logits.shape[-1])


def golden_batch(tensors: dict[str, torch.Tensor]) -> SimpleNamespace:
    mask = tensors["mask"].bool()
    return SimpleNamespace(
        targets=tensors["target"],
        completion_mask=mask,
        joint_mask=mask,
        row_ids=tuple(range(len(mask))),
    )


@pytest.mark.parametrize(("name", "smoothing"), [("loss_smooth_0p1", 0.1), ("loss_plain", 0.0)])
def test_loss_of_the_references_logits_is_the_references(name, smoothing):
    tensors = load_file(golden("lora", "mini_forward.safetensors"))
    loss = CompletionLoss(smoothing)(*from_logits(tensors["logits"]), golden_batch(tensors))
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
    loss = CompletionLoss(0.1)(*from_logits(logits), golden_batch(tensors))
    loss.backward()
    torch.testing.assert_close(loss, tensors["loss_smooth_0p1"].squeeze(), atol=1e-5, rtol=0)
    for name, tensor in lora.items():
        torch.testing.assert_close(tensor.grad, tensors[f"grad.{name}"], atol=1e-5, rtol=0)


def test_smoothing_by_hand():
    # p = (1/2, 1/4, 1/4): -log p = (1, 2, 2)·log 2, their mean 5/3·log 2.
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.25]]))
    loss = cross_entropy_sum(logits, torch.tensor([0]), label_smoothing=0.3)
    expected = (0.7 * 1 + 0.3 * 5 / 3) * torch.log(torch.tensor(2.0))
    torch.testing.assert_close(loss, expected)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), smoothing=st.sampled_from([0.001, 0.1, 0.5, 1.0]))
def test_smoothing_is_torchs(seed, smoothing):
    (hidden, head), batch = make_states(seed), make_batch(seed)
    kept = batch.completion_mask
    oracle = functional.cross_entropy(
        (hidden @ head.T)[kept], batch.targets[kept], label_smoothing=smoothing, reduction="sum"
    )
    loss = CompletionLoss(smoothing)(hidden, head, batch)
    torch.testing.assert_close(loss, oracle / (kept.sum() + 1e-4))


def test_smoothing_up_to_1e_4_is_none():
    (hidden, head), batch = make_states(0), make_batch(0)
    plain = CompletionLoss(0.0)(hidden, head, batch)
    assert torch.equal(CompletionLoss(1e-4)(hidden, head, batch), plain)
    assert not torch.equal(CompletionLoss(2e-4)(hidden, head, batch), plain)


def test_targets_stand_one_to_the_left_as_transformers_shifts_its_labels():
    torch.manual_seed(0)
    model = GPT2LMHeadModel(
        GPT2Config(vocab_size=VOCAB, n_positions=8, n_embd=8, n_layer=1, n_head=2)
    )
    model.eval()
    ids = torch.randint(VOCAB, (ROWS, 8))
    targets = torch.cat([ids[:, 1:], torch.zeros(ROWS, 1, dtype=torch.int64)], dim=1)
    mask = torch.ones_like(ids, dtype=torch.bool)
    mask[:, -1] = False
    logits = label_logits(model.transformer(ids)[0], model.lm_head.weight, mask)
    mean = cross_entropy_sum(logits, targets[mask]) / mask.sum()
    torch.testing.assert_close(mean, model(ids, labels=ids).loss)


def test_the_denominator_is_the_number_of_labels_plus_1e_4():
    assert batch_loss(torch.tensor(3.0), torch.tensor(1)).item() == pytest.approx(3 / 1.0001)


def test_completion_and_joint_loss_differ_in_their_mask_alone():
    (hidden, head), batch = make_states(1), make_batch(1)
    completion, joint = CompletionLoss(0.1), JointLoss(0.1)
    assert torch.equal(completion.mask(batch), batch.completion_mask)
    assert torch.equal(joint.mask(batch), batch.joint_mask)
    same = SimpleNamespace(**vars(batch) | {"joint_mask": batch.completion_mask})
    assert torch.equal(joint(hidden, head, same), completion(hidden, head, batch))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), padding=st.integers(0, 5))
def test_positions_without_label_change_neither_loss_nor_gradient(seed, padding):
    (hidden, head), batch = make_states(seed), make_batch(seed)
    mask = functional.pad(batch.completion_mask, (0, padding))
    padded = functional.pad(hidden, (0, 0, 0, padding)).where(mask[..., None], torch.tensor(7.0))
    padded_batch = SimpleNamespace(
        targets=functional.pad(batch.targets, (0, padding)),
        completion_mask=mask,
        row_ids=batch.row_ids,
    )
    hidden.requires_grad_()
    padded.requires_grad_()
    loss = CompletionLoss(0.1)(hidden, head, batch)
    padded_loss = CompletionLoss(0.1)(padded, head, padded_batch)
    assert torch.equal(loss, padded_loss)
    loss.backward()
    padded_loss.backward()
    assert torch.equal(hidden.grad, padded.grad[:, : hidden.shape[1]])
    assert padded.grad[~mask].abs().sum() == 0


def test_a_row_without_labels_leaves_the_loss_to_the_other_rows():
    (hidden, head), batch = make_states(2), make_batch(2)
    batch.completion_mask[2] = False
    first_two = SimpleNamespace(
        targets=batch.targets[:2], completion_mask=batch.completion_mask[:2], row_ids=(0, 1)
    )
    loss = CompletionLoss(0.1)
    assert torch.equal(loss(hidden, head, batch), loss(hidden[:2], head, first_two))


def test_a_training_batch_without_labels_is_an_error_that_names_its_rows():
    (hidden, head), batch = make_states(3), make_batch(3)
    batch.completion_mask[:] = False
    batch.row_ids = (17, 4, 29)
    with pytest.raises(InputError, match=r"17, 4, 29.*data\.max_length"):
        CompletionLoss(0.1)(hidden, head, batch)


def test_a_validation_batch_without_labels_has_loss_zero():
    (hidden, head), batch = make_states(3), make_batch(3)
    batch.completion_mask[:] = False
    statistics = validation_statistics(hidden, head, batch)
    assert [value.item() for value in statistics] == [0, 0, 0]


def test_validation_is_unsmoothed_over_completion_tokens():
    (hidden, head), batch = make_states(4), make_batch(4)
    statistics = validation_statistics(hidden, head, batch)
    kept = batch.completion_mask
    log_probability = functional.log_softmax(hidden @ head.T, dim=-1)
    picked = log_probability.gather(-1, batch.targets[..., None])[..., 0]
    torch.testing.assert_close(statistics.total, -picked[kept].sum())
    assert statistics.labels == kept.sum()
    torch.testing.assert_close(statistics.batch_loss, CompletionLoss(0.0)(hidden, head, batch))


def test_only_labelled_positions_are_projected_row_by_row():
    hidden, head = make_states(5)
    mask = make_batch(5).completion_mask
    expected = torch.stack([hidden[i, t] for i, t in mask.nonzero().tolist()])
    assert torch.equal(label_hidden_states(hidden, mask), expected)
    assert label_logits(hidden, head, mask).shape == (mask.sum(), VOCAB)


def test_the_loss_of_a_bfloat16_model_is_float32():
    (hidden, head), batch = make_states(6), make_batch(6)
    loss = CompletionLoss(0.1)(hidden.bfloat16(), head.bfloat16(), batch)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, CompletionLoss(0.1)(hidden, head, batch), atol=0.1, rtol=0)
