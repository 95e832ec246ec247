"""The other baselines of the LoRA paper: their sizes, what they compute, their gradients, files."""

import pytest
import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import GPT2Config, GPT2LMHeadModel

from lora_lightning.errors import InputError
from lora_lightning.gpt2.empty import empty_modules
from lora_lightning.gpt2.forward import block_inputs, packed_hidden_states, require_packable
from lora_lightning.methods.adapter_files import load_adapter, save_adapter
from lora_lightning.methods.adapter_h import AdapterH
from lora_lightning.methods.adapter_l import AdapterL
from lora_lightning.methods.base import adapter_tensors, base_tensors, trained_tensors
from lora_lightning.methods.exports import export_merged, export_peft
from lora_lightning.methods.prefix_layer import OneRow, PrefixLayer
from lora_lightning.methods.top2 import TopBlocks
from tests.goldens import shared
from tests.methods.models import logits, refusal, same, small_gpt2

METHODS = {
    "top2": TopBlocks(blocks=1),
    "adapter_l": AdapterL(bottleneck=3),
    "adapter_h": AdapterH(bottleneck=3),
    "prefix_layer": PrefixLayer(length=3),
}
MEDIUM = {"n_embd": 1024, "n_layer": 24, "n_head": 16}
LARGE = {"n_embd": 1280, "n_layer": 36, "n_head": 20}


class Rows:
    """Two rows, end to end."""

    lengths = (4, 6)
    boundaries = torch.tensor([0, 4, 10], dtype=torch.int32)
    input_ids = torch.arange(10) * 3 % 50
    position_ids = torch.tensor([*range(4), *range(6)])


def moved(model, seed=1):
    """Move what is trained off its start."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 0.3 * torch.randn_like(parameter)
    return model


def ready(method, is_moved=True, **settings):
    model = small_gpt2(**settings)
    torch.manual_seed(5)
    method.apply(model)
    return moved(model) if is_moved else model


def hidden(model):
    return packed_hidden_states(model.transformer, Rows(), torch.arange(10))


def count_of(method, **shape):
    with empty_modules():
        model = GPT2LMHeadModel(GPT2Config(**shape))
    method.apply(model)
    rows = method.parameter_table(model)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert sum(row.count for row in rows) == trained
    return trained


@pytest.mark.parametrize(("method", "shape", "count"), [
    (TopBlocks(2), MEDIUM, 25_192_448),
    (AdapterL(6), MEDIUM, 368_784), (AdapterL(224), MEDIUM, 11_089_152),
    (AdapterL(8), LARGE, 875_808), (AdapterL(248), LARGE, 23_002_848),
    (AdapterH(112), MEDIUM, 11_064_576),  # printed: 11.09M
    (PrefixLayer(14), MEDIUM, 344_064),  # printed: 0.35M
])  # fmt: skip
def test_the_numbers_of_parameters_are_those_of_the_paper(method, shape, count):
    assert count_of(method, **shape) == count


def test_the_papers_numbers_are_those_of_its_collectors():
    import yaml

    known = yaml.safe_load(shared("paper", "published.yaml").read_text())
    known = known["trainable_parameters_by_formula"]
    assert count_of(TopBlocks(2), **MEDIUM) == known["top2"]["gpt2_medium"]
    for key, count in known["adapter_l"].items():
        shape = MEDIUM if "medium" in key else LARGE
        assert count_of(AdapterL(int(key.rpartition(" ")[2])), **shape) == count


@pytest.mark.parametrize("name", ["top2", "adapter_l", "adapter_h"])
def test_the_model_starts_as_its_base(name):
    started = hidden(ready(METHODS[name], is_moved=False))
    torch.testing.assert_close(started, hidden(small_gpt2()), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_nothing_of_the_base_is_trained_but_what_the_method_names(method):
    model = ready(method)
    require_packable(model)
    before, after = base_tensors(small_gpt2()), base_tensors(model)
    changed = {name for name in before if not before[name].equal(after[name])}
    last = {name for name in before if name.startswith("transformer.h.1.")}
    assert changed == (last if isinstance(method, TopBlocks) else set())
    assert all(tensor.requires_grad for tensor in adapter_tensors(model).values())


def test_adapter_l_adds_its_bottleneck_behind_the_mlp():
    model, base = ready(METHODS["adapter_l"]), small_gpt2()
    x = torch.randn(5, 16)
    adapted = model.transformer.h[0].mlp
    inner, y = adapted.adapter, base.transformer.h[0].mlp(x)
    normed = torch.nn.functional.layer_norm(y, (16,), inner.norm.weight, inner.norm.bias)
    narrow = (normed @ inner.down.weight.T + inner.down.bias).clamp(min=0)
    expected = y + narrow @ inner.up.weight.T + inner.up.bias
    torch.testing.assert_close(adapted(x), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("place", ["attn", "mlp"])
def test_adapter_h_adds_one_behind_the_attention_and_one_behind_the_mlp(place):
    model = ready(METHODS["adapter_h"])
    adapted = getattr(model.transformer.h[1], place).c_proj
    x = torch.randn(5, adapted.base.weight.shape[0])
    inner, y = adapted.adapter, adapted.base(x)
    narrow = (y @ inner.down.weight.T + inner.down.bias).clamp(min=0)
    expected = y + narrow @ inner.up.weight.T + inner.up.bias
    torch.testing.assert_close(adapted(x), expected, atol=1e-5, rtol=1e-4)


def test_a_prefix_is_what_a_row_of_tokens_in_front_would_be():
    """With the base's own activations of some tokens as prefix, tokens see those tokens."""
    torch.manual_seed(0)
    model = small_gpt2()
    front = torch.randint(50, (3,))
    states = block_inputs(model.transformer, OneRow(front))
    PrefixLayer(length=3).apply(model)
    with torch.no_grad():
        for block, state in zip(model.transformer.h, states, strict=True):
            block.attn.prefix.activations.copy_(state)
    ids = [torch.cat([front, row]) for row in Rows.input_ids.split(Rows.lengths)]
    positions = [torch.cat([torch.arange(3), torch.arange(n)]) for n in Rows.lengths]
    expected = small_gpt2().transformer(
        pad_sequence(ids, batch_first=True),
        position_ids=pad_sequence(positions, batch_first=True),
        attention_mask=torch.ones(2, 9, dtype=torch.int64),  # else it takes them for packed rows
        use_cache=False,
    )[0]
    rows = [expected[row, 3 : 3 + n] for row, n in enumerate(Rows.lengths)]
    torch.testing.assert_close(hidden(model), torch.cat(rows), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("name", METHODS)
def test_gradients_are_those_of_finite_differences(name):
    model = ready(METHODS[name]).double()
    wanted = torch.randn(10, 16, dtype=torch.float64)

    def value():
        return (hidden(model).double() * wanted).sum()

    value().backward()
    for key, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        place = int(parameter.grad.abs().argmax())
        flat, step = parameter.data.view(-1), 1e-5
        flat[place] += step
        above = value().item()
        flat[place] -= 2 * step
        slope = (above - value().item()) / (2 * step)
        flat[place] += step
        assert slope == pytest.approx(parameter.grad.view(-1)[place].item(), rel=1e-4, abs=1e-6), (
            key
        )


@pytest.mark.parametrize("name", METHODS)
def test_a_saved_adapter_holds_all_that_is_trained_and_loads_to_the_bit(name, tmp_path):
    method = METHODS[name]
    model = ready(method)
    save_adapter(model, method, tmp_path)
    again = ready(method, is_moved=False)
    load_adapter(again, method, tmp_path)
    assert same(trained_tensors(again), trained_tensors(model))
    other = AdapterH(4) if name != "adapter_h" else AdapterL(4)
    assert "was trained with method." in refusal(ready(other), other, tmp_path)


@pytest.mark.parametrize("name", METHODS)
def test_exports_that_would_lose_it_are_refused_by_name(name, tmp_path):
    method = METHODS[name]
    model = ready(method)
    with pytest.raises(InputError, match="format=peft has no place for what"):
        export_peft(model, method, tmp_path / "peft")
    if name == "top2":
        export_merged(model, tmp_path / "merged")
        merged = GPT2LMHeadModel.from_pretrained(tmp_path / "merged").eval()
        torch.testing.assert_close(logits(merged), logits(model), atol=1e-4, rtol=1e-4)
    else:
        with pytest.raises(InputError, match="format=merged has no place for"):
            export_merged(model, tmp_path / "merged")


@pytest.mark.parametrize(("method", "said"), [
    (TopBlocks(3), "method.blocks=3 is more than the base's 2 blocks"),
    (PrefixLayer(33), "method.length=33 is more than the base's 32 positions"),
])  # fmt: skip
def test_what_the_base_has_no_room_for_is_refused(method, said):
    with pytest.raises(InputError, match=said):
        method.apply(small_gpt2())


@pytest.mark.parametrize("make", [
    lambda: TopBlocks(0), lambda: AdapterL(0), lambda: AdapterH(-1), lambda: PrefixLayer(1.5),
])  # fmt: skip
def test_sizes_are_whole_numbers_from_1(make):
    with pytest.raises(InputError, match="a whole number >= 1"):
        make()
