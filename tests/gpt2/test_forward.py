"""Rows end to end give what padded rows give: hidden states, losses, gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lora_lightning.data.batching import collate
from lora_lightning.data.encoding import EncodedExample, make_row
from lora_lightning.gpt2.forward import EAGER, Execution, packed_hidden_states
from lora_lightning.gpt2.projection import pack_for_training
from lora_lightning.methods.full import Full
from lora_lightning.methods.lora_method import LoRA
from lora_lightning.training.loss import CompletionLoss, JointLoss
from tests.gpt2.padded import assert_gradients_close, gradients, padded_hidden_states, padded_loss
from tests.methods.models import adapted, fresh

POSITIONS = 32
METHODS = {
    "q and v": LoRA(rank=2, alpha=6, dropout=0.0, targets=["q", "v"]),
    "all linear": LoRA(2, 6, 0.0, ["c_attn", "c_proj", "c_fc"]),
    "mlp": LoRA(2, 6, 0.0, ["mlp.c_fc"]),
}
LENGTHS = st.lists(st.tuples(st.integers(1, 20), st.integers(1, 30)), min_size=1, max_size=5)


def make_rows(lengths, max_length=POSITIONS, seed=0):
    """Rows of random ids with contexts and completions of the given lengths."""
    generator = torch.Generator().manual_seed(seed)

    def ids(number):
        return torch.randint(50, (number,), generator=generator).tolist()

    return [make_row(EncodedExample(ids(c), ids(n)), max_length) for c, n in lengths]


def mild(model):
    """Make it less certain: where a probability nears 1, float32 has no digits left for 1 - p."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 0.4
    return model


def mild_adapted(*arguments, **settings):
    return mild(adapted(*arguments, **settings))


def packed_loss(model, rows, loss=CompletionLoss(0.1), share=1.0, execution=EAGER):  # noqa: B008
    batch = collate(rows, range(len(rows)))
    positions = loss.positions(batch)
    hidden = packed_hidden_states(model.transformer, batch, positions, execution)
    return loss(hidden, model.lm_head.weight, batch.targets[positions], share).smoothed


@settings(max_examples=20, deadline=None)
@given(lengths=LENGTHS)
def test_every_hidden_state_is_that_of_the_padded_row(lengths):
    model, rows = mild_adapted(), make_rows(lengths)
    batch = collate(rows, range(len(rows)))
    with torch.no_grad():
        everywhere = torch.arange(len(batch.input_ids))
        found = packed_hidden_states(model.transformer, batch, everywhere)
        expected = padded_hidden_states(model, rows)
    for states, padded in zip(found.split(batch.lengths), expected, strict=True):
        torch.testing.assert_close(states, padded[: len(states)], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("joint", [False, True])
@settings(max_examples=10, deadline=None)
@given(lengths=LENGTHS, smoothing=st.sampled_from([0.0, 0.1]))
def test_loss_and_gradients_are_those_of_padded_rows(name, joint, lengths, smoothing):
    model, rows = mild_adapted(METHODS[name]), make_rows(lengths)
    if not any(row.completion_mask.any() for row in rows):
        return
    expected = padded_loss(model, rows, smoothing, joint)
    expected.backward()
    oracle = gradients(model)
    loss = packed_loss(model, rows, (JointLoss if joint else CompletionLoss)(smoothing))
    loss.backward()
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=1e-5)
    assert_gradients_close(gradients(model), oracle)


@pytest.mark.parametrize(
    "lengths",
    [[(5, 1), (1, 1), (9, 1)], [(3, 40), (20, 20), (2, 4)], [(31, 9), (4, 4)], [(40, 3), (4, 4)]],
    ids=["completions of one token", "cut rows", "one label left", "a row without labels"],
)
def test_rows_at_the_edge(lengths):
    model, rows = mild_adapted(), make_rows(lengths)
    padded_loss(model, rows).backward()
    oracle = gradients(model)
    packed_loss(model, rows).backward()
    assert_gradients_close(gradients(model), oracle)


def test_accumulated_micro_batches_add_up_as_padded_ones_do():
    model = mild_adapted()
    groups = [make_rows([(4, 9), (7, 3)]), make_rows([(2, 2)], seed=1), make_rows([(9, 9)], seed=2)]
    for rows in groups:
        (padded_loss(model, rows) / 3).backward()
    oracle = gradients(model)
    for rows in groups:
        (packed_loss(model, rows, share=1 / 3) / 3).backward()
    assert_gradients_close(gradients(model), oracle)


def test_all_parameters_train_as_with_padded_rows():
    model, rows = mild(fresh(Full())), make_rows([(4, 9), (7, 3), (12, 20)])
    padded_loss(model, rows).backward()
    oracle = gradients(model)
    packed_loss(model, rows).backward()
    assert_gradients_close(gradients(model), oracle)


def test_an_activation_other_than_gpt2s_is_kept():
    model, rows = mild_adapted(activation_function="relu"), make_rows([(4, 9), (7, 3)])
    torch.testing.assert_close(packed_loss(model, rows), padded_loss(model, rows))


def test_a_row_does_not_see_its_neighbours():
    model = mild_adapted()
    (first, second), (other, _) = make_rows([(4, 9), (7, 3)]), make_rows([(6, 6), (1, 1)], seed=1)
    positions = torch.arange(-9, 0)
    with torch.no_grad():
        found = [
            packed_hidden_states(
                model.transformer,
                batch := collate([before, second], [0, 1]),
                positions + len(batch.input_ids),
            )
            for before in (first, other)
        ]
    torch.testing.assert_close(*found, atol=1e-6, rtol=1e-6)


def test_nothing_below_the_first_trainable_projection_is_differentiated():
    model, rows = mild_adapted(LoRA(2, 6, 0.0, ["h.1.attn.c_attn"])), make_rows([(4, 9)])
    inputs = []
    model.transformer.h[1].attn.c_attn.register_forward_hook(
        lambda _, arguments, result: inputs.append((arguments[0], result))
    )
    packed_loss(model, rows).backward()
    [(arriving, leaving)] = inputs
    assert not arriving.requires_grad
    assert leaving.requires_grad


def test_checkpointed_blocks_give_the_same_with_the_same_dropout():
    model = mild_adapted(LoRA(rank=2, alpha=6, dropout=0.3, targets=["q", "v"])).train()
    rows, found = make_rows([(4, 9), (7, 3), (12, 20)]), []
    for execution in (EAGER, Execution(gradient_checkpointing=True)):
        torch.manual_seed(5)
        packed_loss(model, rows, execution=execution).backward()
        found.append(gradients(model))
    assert_gradients_close(found[1], found[0], 1e-6)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch without oneDNN")
@pytest.mark.parametrize("name", METHODS)
def test_packed_weights_train_as_plain_ones(name):
    model, rows = mild_adapted(METHODS[name]), make_rows([(4, 9), (7, 3), (12, 20)])
    expected = packed_loss(model, rows)
    expected.backward()
    oracle = gradients(model)
    pack_for_training(model, True, torch.device("cpu"))
    loss = packed_loss(model, rows)
    loss.backward()
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=1e-5)
    assert_gradients_close(gradients(model), oracle)


@pytest.mark.parametrize("name", METHODS)
def test_a_bfloat16_base_trains_close_to_its_float32_copy(name):
    rows = make_rows([(4, 9), (7, 3), (12, 20)])
    model = mild_adapted(METHODS[name])
    adapters = {n: p for n, p in model.named_parameters() if p.requires_grad}
    model.bfloat16()
    for parameter in adapters.values():
        parameter.data = parameter.data.float()
    loss = packed_loss(model, rows)
    loss.backward()
    found = gradients(model)
    model.float()
    expected = packed_loss(model, rows)
    expected.backward()
    torch.testing.assert_close(loss, expected, atol=0.02, rtol=0.02)
    assert all(gradient.dtype == torch.float32 for gradient in found.values())
    assert_gradients_close(found, gradients(model), 0.1)
