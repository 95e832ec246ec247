"""Arithmetic, memory and speed of a step: by formula, against counting."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from lora_lightning.data.batching import collate
from lora_lightning.gpt2.flops import measured_peak, training_flops
from lora_lightning.gpt2.forward import EAGER, Execution, packed_hidden_states
from lora_lightning.methods.full import Full
from lora_lightning.methods.lora_method import LoRA
from lora_lightning.training.memory import estimate_memory
from lora_lightning.training.throughput import Throughput, Work
from tests.gpt2.test_forward import make_rows
from tests.methods.models import fresh

CPU = torch.device("cpu")
SHAPE = {"n_embd": 64, "n_head": 4, "n_layer": 3, "vocab_size": 500}
QV = LoRA(rank=4, alpha=8, dropout=0.1, targets=["q", "v"])
WHOLE = LoRA(rank=4, alpha=8, dropout=0.1, targets=["c_attn"])


def test_flops_by_hand():
    model = fresh(Full(), n_embd=16, n_layer=1, vocab_size=50).requires_grad_(False)
    matrices = 12 * 16 * 16  # c_attn 3, c_proj 1, c_fc 4, c_proj 4 squares of the width
    attention = 6 * 16 * (5 * 6 + 2 * 3)  # rows of 5 and 2 tokens
    expected = 7 * 4 * matrices + 3 * 4 * 50 * 16 + attention
    assert training_flops(model, [5, 2], 3) == expected


@pytest.mark.parametrize("method", [WHOLE, Full()], ids=["lora", "full"])
def test_flops_are_those_that_torch_counts_where_nothing_is_left_out(method):
    model, rows = fresh(method, **SHAPE), make_rows([(9, 20)])
    length = len(rows[0].input_ids)
    embedded = torch.randn(1, length, 64, requires_grad=True)  # so that block 0 goes backward, too
    with FlopCounterMode(display=False) as counter:
        hidden = model.transformer(inputs_embeds=embedded, use_cache=False)[0]
        model.lm_head(hidden[:, :7]).sum().backward()
    # The counter does not know the kernel of attention, or not that it is causal.
    products = sum(
        count
        for operation, count in counter.get_flop_counts()["Global"].items()
        if "scaled_dot" not in str(operation)
    )
    attention = training_flops(model, [length], 0) - training_flops(model, [], 0)
    attention -= length * sum(
        2 * (3 if p.requires_grad else 2) * p.numel()
        for p in model.transformer.h.parameters()
        if p.dim() == 2
    )
    assert training_flops(model, [length], 7) - attention == pytest.approx(products, rel=0.01)


@pytest.mark.parametrize("execution", [EAGER, Execution(gradient_checkpointing=True)])
def test_the_memory_that_a_step_keeps_is_as_estimated(execution):
    model, rows = fresh(QV, **SHAPE).train(), make_rows([(9, 20), (8, 8), (20, 11)])
    batch = collate(rows, range(3))
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        hidden = packed_hidden_states(
            model.transformer, batch, torch.arange(len(batch.input_ids)), execution
        )
    estimate = estimate_memory(model, batch.lengths, execution, CPU)
    loss = 2 * 4 * 500 * len(batch.input_ids)
    block = 0 if execution is EAGER else estimate_memory(model, batch.lengths, EAGER, CPU)
    recomputed = (block.activations - loss) / 3 if block else 0
    assert hidden.requires_grad
    assert estimate.activations - loss - recomputed == pytest.approx(sum(kept.values()), rel=0.15)


def test_weights_gradients_and_moments_are_counted_once():
    model = fresh(QV, **SHAPE)
    estimate = estimate_memory(model, [10], EAGER, CPU)
    assert estimate.weights == sum(4 * p.numel() for p in model.parameters())
    assert estimate.training == 12 * sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert estimate.peak == estimate.weights + estimate.training + estimate.activations


def test_the_peak_is_a_rate_and_leaves_the_random_numbers_alone(monkeypatch):
    monkeypatch.setattr("lora_lightning.gpt2.flops.PEAK_SECONDS", 0.01)
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    assert measured_peak(64, torch.float32, CPU) > 1e6
    assert torch.equal(torch.rand(3), expected)


def test_throughput_is_the_median_after_the_fifth_update(monkeypatch):
    times = map(
        float, [0, 1, 2, 3, 4, 5, 15, 18, 20, 21]
    )  # updates of 1 s five times, then 10, 3, 2, 1
    monkeypatch.setattr("time.perf_counter", lambda: next(times))
    throughput = Throughput(CPU, peak=100.0)
    assert throughput.medians() is None
    for _ in range(9):
        throughput.add(Work(tokens=60, rows=6, flops=600.0))
    assert throughput.last() == {
        "tokens_per_second": 60,
        "rows_per_second": 6,
        "share_of_peak": 6,
    }
    assert throughput.medians() == {
        "tokens_per_second": 25,
        "rows_per_second": 2.5,
        "share_of_peak": 2.5,
    }


def test_what_is_no_training_does_not_count(monkeypatch):
    times = iter([0.0, 50.0, 52.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(times))
    throughput = Throughput(CPU)
    throughput.restart()
    throughput.add(Work(tokens=60, rows=6))
    assert throughput.last() == {"tokens_per_second": 30, "rows_per_second": 3}
