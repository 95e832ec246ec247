"""The oracle of the packed path: rows padded, transformers' own forward, all logits, autograd."""

import torch
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence


def padded_hidden_states(model, rows):
    """Final hidden states (rows, time, width); causality hides the padding on the right."""
    input_ids = pad_sequence([row.input_ids for row in rows], batch_first=True)
    return model.transformer(input_ids=input_ids, use_cache=False)[0]


def padded_loss(model, rows, label_smoothing=0.1, joint=False):
    """The reference's loss of a micro-batch, ()."""
    logits = functional.linear(padded_hidden_states(model, rows), model.lm_head.weight)
    masks = [row.joint_mask if joint else row.completion_mask for row in rows]
    mask = pad_sequence(masks, batch_first=True)
    targets = pad_sequence([row.targets for row in rows], batch_first=True)
    total = functional.cross_entropy(
        logits[mask], targets[mask], reduction="sum", label_smoothing=label_smoothing
    )
    return total / (mask.sum() + 1e-4)


def gradients(model):
    """The gradient of every trainable tensor, by name; afterwards there are none."""
    found = {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
    model.zero_grad(set_to_none=True)
    return found


def assert_gradients_close(found, expected, tolerance=1e-5):
    """Compare relative to each tensor's largest entry."""
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        if gradient is None:
            assert found[name] is None or not found[name].any(), name
            continue
        largest = gradient.abs().max().item()
        torch.testing.assert_close(
            found[name],
            gradient,
            rtol=0,
            atol=tolerance * largest,
            msg=lambda m, n=name: f"{n}: {m}",
        )
