"""Files of the reference: its adapters and whole checkpoints, read and written."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from lora_lightning.errors import InputError
from lora_lightning.methods.adapter_files import (
    describe_adapter,
    is_whole_model,
    load_adapter,
)
from lora_lightning.methods.base import adapter_tensors, base_tensors
from lora_lightning.methods.exports import export_loralib
from lora_lightning.methods.full import Full
from lora_lightning.methods.inject import lora_layers
from lora_lightning.methods.lora_method import LoRA
from tests.goldens import golden
from tests.methods.models import QV, adapted, fresh, logits, refusal, same, small_gpt2

REFERENCE = LoRA(rank=4, alpha=32, dropout=0.0, targets=["q", "v"])


def adapter_state(model):
    """An adapter under the names of the reference."""
    return {f"module.{name}": t.detach().clone() for name, t in adapter_tensors(model).items()}


def whole_state(model):
    """A whole model under the names of the reference, mask buffers and tied head included."""
    state = {f"module.{name}": t.detach().clone() for name, t in base_tensors(model).items()}
    mask = torch.ones(32, 32).tril().view(1, 1, 32, 32)
    masks = {f"module.transformer.h.{layer}.attn.bias": mask.clone() for layer in range(2)}
    head = {"module.lm_head.decoder.weight": state["module.transformer.wte.weight"].clone()}
    return state | masks | head | adapter_state(model)


def write(path, state):
    torch.save({"model_state_dict": state}, path)
    return path


@pytest.mark.parametrize("prefix", ["module.transformer.", "transformer.", "module.", ""])
@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("format", ["pt", "bare.pt", "safetensors"])
def test_every_form_of_the_names_loads(tmp_path, prefix, whole, format):
    source = adapted(seed=3 if whole else 0)
    state = (whole_state if whole else adapter_state)(source)
    state = {name.replace("module.transformer.", prefix): t for name, t in state.items()}
    path = tmp_path / f"model.{format}"
    if format == "safetensors":
        save_file(state, path)
    else:
        torch.save(state if format == "bare.pt" else {"model_state_dict": state}, path)
    model = fresh(seed=0)
    report = load_adapter(model, QV, path)
    assert report.adapter == 4
    assert report.base == (len(base_tensors(source)) if whole else 0)
    assert logits(model).equal(logits(source))
    assert describe_adapter(path) == {"rank": 2}
    assert is_whole_model(path) == whole


def test_a_whole_checkpoint_without_lora_loads_for_full_training(tmp_path):
    source = small_gpt2(seed=3)
    path = write(tmp_path / "model.9.pt", whole_state(source))
    model = fresh(Full())
    load_adapter(model, Full(), path)
    assert logits(model).equal(logits(source))
    assert model.lm_head.weight is model.transformer.wte.weight
    assert describe_adapter(path) is None


def test_an_exported_adapter_is_as_the_reference_writes_it(tmp_path):
    model = adapted()
    export_loralib(model, tmp_path / "adapter.pt")
    content = torch.load(tmp_path / "adapter.pt", weights_only=True)
    assert list(content) == ["model_state_dict"]
    assert same(content["model_state_dict"], adapter_state(model))
    loaded = fresh()
    load_adapter(loaded, QV, tmp_path / "adapter.pt")
    assert same(adapter_tensors(loaded), adapter_tensors(model))
    assert [path.name for path in tmp_path.iterdir()] == ["adapter.pt"]


@pytest.mark.parametrize("bias", ["lora_only", "all"])
def test_trained_biases_are_part_of_an_exported_adapter(tmp_path, bias):
    method = LoRA(rank=2, alpha=6, dropout=0.0, targets=["q", "v"], bias=bias)
    model = adapted(method)
    export_loralib(model, tmp_path / "adapter.pt", bias)
    names = torch.load(tmp_path / "adapter.pt", weights_only=True)["model_state_dict"]
    assert "module.transformer.h.0.attn.c_attn.bias" in names
    assert ("module.transformer.ln_f.bias" in names) == (bias == "all")
    loaded = fresh(method)
    report = load_adapter(loaded, method, tmp_path / "adapter.pt")
    assert (report.adapter, report.base) == (len(names), 0)
    assert same(loaded.state_dict(), model.state_dict())
    assert not is_whole_model(tmp_path / "adapter.pt")
    assert "bias" in refusal(fresh(), QV, tmp_path / "adapter.pt")


def test_a_whole_checkpoint_brings_its_biases(tmp_path):
    method = LoRA(rank=2, alpha=6, dropout=0.0, targets=["q", "v"], bias="all")
    source = adapted(method, seed=3)
    model = fresh(method)
    report = load_adapter(model, method, write(tmp_path / "model.9.pt", whole_state(source)))
    assert (report.adapter, report.base) == (4, len(base_tensors(source)))
    assert same(model.state_dict(), source.state_dict())


# What does not fit

A0 = "module.transformer.h.0.attn.c_attn.lora_A"
B1 = "module.transformer.h.1.attn.c_attn.lora_B"
EMBEDDING = "module.transformer.wte.weight"
HEAD = "module.lm_head.decoder.weight"


def test_a_missing_or_unexpected_tensor_is_named(tmp_path):
    for state in (adapter_state(adapted()), whole_state(adapted())):
        for name in (
            A0,
            B1,
            *([EMBEDDING, "module.transformer.ln_f.bias"] if HEAD in state else []),
        ):
            rest = {key: tensor for key, tensor in state.items() if key != name}
            message = refusal(fresh(), QV, write(tmp_path / "x.pt", rest))
            assert name.removeprefix("module.") in message
            assert "missing" in message
        more = state | {"module.transformer.h.7.attn.c_attn.lora_A": state[A0]}
        message = refusal(fresh(), QV, write(tmp_path / "x.pt", more))
        assert "transformer.h.7.attn.c_attn.lora_A is unexpected" in message


def test_an_adapter_does_not_load_into_the_wrong_method(tmp_path):
    path = write(tmp_path / "x.pt", adapter_state(adapted()))
    other = LoRA(rank=2, alpha=6, dropout=0.0, targets=["mlp.c_fc"])
    assert "mlp.c_fc.lora_A" in refusal(fresh(other), other, path)
    assert "lora_A" in refusal(fresh(Full()), Full(), path)
    three = LoRA(rank=2, alpha=6, dropout=0.0, targets=["q", "k", "v"])
    assert "method.targets" in refusal(fresh(three), three, path)


def test_a_wrong_rank_says_what_mends_it(tmp_path):
    path = write(tmp_path / "x.pt", adapter_state(adapted()))
    other = LoRA(rank=4, alpha=6, dropout=0.0, targets=["q", "v"])
    message = refusal(fresh(other), other, path)
    assert "rank 2" in message
    assert "method.rank=4" in message
    assert "set method.rank=2" in message


def test_another_width_vocabulary_or_length_is_refused(tmp_path):
    path = write(tmp_path / "x.pt", whole_state(adapted()))
    wide = fresh(n_embd=32)
    assert "(4, 16)" in refusal(wide, QV, path)
    message = refusal(fresh(vocab_size=60), QV, path)
    assert "vocabulary of 50 tokens, the model 60" in message
    assert "wpe.weight" in refusal(fresh(n_positions=64), QV, path)


def test_a_head_that_differs_from_the_embedding_it_is_tied_to_is_refused(tmp_path):
    state = whole_state(adapted())
    state[HEAD][0, 0] += 1
    assert "lm_head differs from transformer.wte" in refusal(
        fresh(), QV, write(tmp_path / "x.pt", state)
    )


def test_an_untied_head_is_loaded(tmp_path):
    source = adapted(seed=3, tie_word_embeddings=False)
    state = whole_state(source) | {HEAD: source.lm_head.weight.detach().clone()}
    del state["module.lm_head.weight"]
    model = fresh(tie_word_embeddings=False)
    load_adapter(model, QV, write(tmp_path / "x.pt", state))
    assert logits(model).equal(logits(source))


def test_a_tensor_under_two_names_is_refused(tmp_path):
    state = adapter_state(adapted())
    state[A0.removeprefix("module.")] = state[A0]
    assert "there twice" in refusal(fresh(), QV, write(tmp_path / "x.pt", state))


def test_integer_tensors_are_refused(tmp_path):
    state = {name: tensor.long() for name, tensor in adapter_state(adapted()).items()}
    assert "torch.int64" in refusal(fresh(), QV, write(tmp_path / "x.pt", state))


class Payload:
    def __reduce__(self):
        return (print, ("code ran",))


def test_a_pickle_that_could_run_code_is_refused_unrun(tmp_path, capsys):
    path = tmp_path / "x.pt"
    torch.save({"model_state_dict": adapter_state(adapted()), "extra": Payload()}, path)
    assert "weights-only" in refusal(fresh(), QV, path)
    assert "code ran" not in capsys.readouterr().out


def test_a_corrupt_or_foreign_file_is_refused(tmp_path):
    path = write(tmp_path / "x.pt", adapter_state(adapted()))
    content = path.read_bytes()
    for damaged in (b"", b"no tensors", content[:50], content[: len(content) // 2]):
        path.write_bytes(damaged)
        assert str(path) in refusal(fresh(), QV, path)
    for foreign in ({}, [1, 2], {"a": 1}, {"model_state_dict": {"a": 1}}, torch.ones(2)):
        torch.save(foreign, path)
        assert "holds no tensors by name" in refusal(fresh(), QV, path)


# Goldens


@pytest.fixture(scope="module")
def tiny():
    """The base of the goldens with the adapter that the reference trained on it."""
    model = AutoModelForCausalLM.from_pretrained(golden("tiny_model")).eval()
    REFERENCE.apply(model)
    load_adapter(model, REFERENCE, golden("lora", "lora_e2e.pt"))
    return model


def last_positions(model):
    rows = golden("lora", "forward_rows.jsonl").read_text().splitlines()
    with torch.no_grad():
        return torch.stack(
            [model(input_ids=torch.tensor([json.loads(row)["ids"]])).logits[0, -4:] for row in rows]
        )


def test_logits_with_and_without_the_adapter_equal_the_reference(tiny):
    expected = load_file(golden("lora", "forward.safetensors"))
    torch.testing.assert_close(last_positions(tiny), expected["logits"], atol=1e-4, rtol=0)
    base = AutoModelForCausalLM.from_pretrained(golden("tiny_model")).eval()
    torch.testing.assert_close(last_positions(base), expected["base_logits"], atol=1e-4, rtol=0)


def test_delta_weights_equal_the_reference(tiny):
    expected = load_file(golden("lora", "delta_weight.safetensors"))
    for name, layer in lora_layers(tiny).items():
        delta = expected[f"{name.removeprefix('transformer.')}.delta_weight"]
        torch.testing.assert_close(layer.delta_weight(), delta, atol=1e-6, rtol=0)


@pytest.mark.parametrize("run", ["a_readme", "b_accumulate_clip_cosine", "g_two_ranks"])
def test_safetensors_of_the_reference_load(tiny, run):
    path = golden("lora", run, "lora_init.safetensors")
    report = load_adapter(tiny, REFERENCE, path)
    assert str(report) == "loaded 6 adapter tensors, 0 missing"
    assert same(adapter_tensors(tiny), load_file(path))
    load_adapter(tiny, REFERENCE, golden("lora", "lora_e2e.pt"))


def mini_model():
    sizes = json.loads(golden("lora", "mini.json").read_text())
    keys = ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head")
    none = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(**{key: sizes[key] for key in keys}, **none)).eval()
    method = LoRA(sizes["rank"], sizes["alpha"], 0.0, ["q", "v"])
    method.apply(model)
    return model, method


def test_a_whole_checkpoint_of_the_reference_gives_its_logits():
    model, method = mini_model()
    report = load_adapter(model, method, golden("lora", "mini_full.pt"))
    assert report.adapter == 4
    expected = load_file(golden("lora", "mini_forward.safetensors"))
    found = model(input_ids=expected["input"]).logits
    torch.testing.assert_close(found, expected["logits"], atol=1e-5, rtol=0)
    adapter = adapter_tensors(mini := mini_model()[0])
    load_adapter(mini, method, golden("lora", "mini_adapter.pt"))
    assert same(adapter, adapter_tensors(model))


def test_the_goldens_fit_no_other_model(tiny):
    with pytest.raises(InputError, match="vocabulary of 300 tokens, the model 50257"):
        load_adapter(tiny, REFERENCE, golden("lora", "mini_full.pt"))
    with pytest.raises(InputError, match=r"set method\.rank=2"):
        load_adapter(tiny, REFERENCE, golden("lora", "mini_adapter.pt"))


def test_every_name_of_a_whole_checkpoint_is_understood(tmp_path, tiny):
    names = json.loads(golden("lora", "full_checkpoint_keys.json").read_text())
    state = {name: torch.zeros(shape) for name, shape in names.items()}
    path = write(tmp_path / "model.360.pt", state)
    model = AutoModelForCausalLM.from_pretrained(golden("tiny_model"))
    REFERENCE.apply(model)
    report = load_adapter(model, REFERENCE, path)
    assert (report.adapter, report.base) == (6, len(base_tensors(model)))
    assert all(not parameter.count_nonzero() for parameter in model.parameters())
