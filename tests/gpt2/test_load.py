"""The base: loaded completely or not at all, without dropout, equal to the reference's GPT-2."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from transformers.models.gpt2 import GPT2Config, GPT2LMHeadModel

from lora_lightning.errors import InputError
from lora_lightning.gpt2.hub import base_folder
from lora_lightning.gpt2.load import check_vocabulary, load_base
from tests.goldens import golden

IDS = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6]])


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """A small random GPT-2 as transformers saves it, with transformers' dropouts of 0.1."""
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=50, n_positions=16, n_embd=8, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0
    )
    folder = tmp_path_factory.mktemp("base")
    GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path) -> Path:
    """A copy of it to spoil."""
    return shutil.copytree(saved, tmp_path / "base")


def logits(model: GPT2LMHeadModel) -> torch.Tensor:
    with torch.no_grad():
        return model(IDS).logits


def as_pickle(folder: Path, tensors: dict[str, torch.Tensor], **options) -> None:
    """Put a `pytorch_model.bin` in the place of `model.safetensors`."""
    (folder / "model.safetensors").unlink()
    torch.save(tensors, folder / "pytorch_model.bin", **options)


def as_the_hub_has_them(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Bare names, with the causal mask among the tensors."""
    bare = {name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}
    mask = torch.ones(16, 16).tril().view(1, 1, 16, 16)
    return bare | {f"h.{layer}.attn.bias": mask.clone() for layer in range(2)}


def edit_config(folder: Path, **changes) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def edit_weights(folder: Path, edit) -> None:
    file = folder / "model.safetensors"
    tensors = load_file(file)
    edit(tensors)
    save_file({name: tensor.clone() for name, tensor in tensors.items()}, file)


def refuse(folder: Path, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load_base(str(folder))
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_logits_of_the_base_are_the_references():
    model = load_base(str(golden("tiny_model")))
    expected = load_file(golden("lora", "forward.safetensors"))["base_logits"]
    rows = golden("lora", "forward_rows.jsonl").read_text().splitlines()
    for row, last in zip(rows, expected, strict=True):
        with torch.no_grad():
            ours = model(torch.tensor([json.loads(row)["ids"]])).logits[0, -last.shape[0] :]
        torch.testing.assert_close(ours, last, atol=1e-4, rtol=0)


def test_logits_are_those_of_transformers_own_loader(saved):
    oracle = GPT2LMHeadModel.from_pretrained(saved).eval()
    torch.testing.assert_close(logits(load_base(str(saved))), logits(oracle), atol=1e-6, rtol=0)


def test_training_mode_drops_nothing_whatever_the_configuration_says(saved):
    assert json.loads((saved / "config.json").read_text())["attn_pdrop"] == 0.1
    model = load_base(str(saved))
    assert not model.training
    evaluated = logits(model)
    model.train()
    assert torch.equal(logits(model), logits(model))
    torch.testing.assert_close(logits(model), evaluated, atol=1e-6, rtol=0)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("names", [dict, as_the_hub_has_them], ids=["prefixed", "bare"])
def test_a_pickle_loads_as_safetensors_does(saved, folder, names, legacy):
    tensors = names(load_file(saved / "model.safetensors"))
    as_pickle(folder, tensors, _use_new_zipfile_serialization=not legacy)
    assert torch.equal(logits(load_base(str(folder))), logits(load_base(str(saved))))


def test_bare_names_load_from_safetensors_too(saved, folder):
    tensors = as_the_hub_has_them(load_file(saved / "model.safetensors"))
    save_file(tensors, folder / "model.safetensors")
    assert torch.equal(logits(load_base(str(folder))), logits(load_base(str(saved))))


def test_shards_load_as_one_file_does(saved, folder):
    (folder / "model.safetensors").unlink()
    GPT2LMHeadModel.from_pretrained(saved).save_pretrained(folder, max_shard_size="2KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    assert torch.equal(logits(load_base(str(folder))), logits(load_base(str(saved))))


@pytest.mark.parametrize("stored", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_key_decides_the_dtype_whatever_the_file_has(folder, stored, dtype):
    edit_weights(folder, lambda ts: ts.update({n: t.to(stored) for n, t in ts.items()}))
    model = load_base(str(folder), dtype)
    assert {parameter.dtype for parameter in model.parameters()} == {getattr(torch, dtype)}
    assert logits(model).isfinite().all()


def test_the_head_is_the_token_embedding(saved):
    model = load_base(str(saved))
    assert model.lm_head.weight is model.transformer.wte.weight


def test_a_head_in_the_file_may_repeat_the_embedding_but_not_differ_from_it(saved, folder):
    tensors = load_file(saved / "model.safetensors")
    head = tensors["transformer.wte.weight"].clone()
    as_pickle(folder, tensors | {"lm_head.weight": head})
    assert torch.equal(logits(load_base(str(folder))), logits(load_base(str(saved))))
    torch.save(tensors | {"lm_head.weight": head + 1}, folder / "pytorch_model.bin")
    refuse(folder, "lm_head")


def test_training_the_model_leaves_its_file_alone(folder):
    before = (folder / "model.safetensors").read_bytes()
    with torch.no_grad():
        for parameter in load_base(str(folder)).parameters():
            parameter.zero_()
    assert (folder / "model.safetensors").read_bytes() == before


def test_a_path_that_is_no_folder_and_no_hub_name_is_an_error(tmp_path):
    refuse(tmp_path / "nowhere", "model.path.*no such folder")
    (tmp_path / "file").touch()
    refuse(tmp_path / "file", "model.path.*is a file; give its folder")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_folder_without_configuration_or_weights_is_an_error_that_names_it(folder, name):
    (folder / name).unlink()
    refuse(folder, name)


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_a_truncated_safetensors_is_an_error_that_names_it(folder, share):
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: int(share * len(content))])
    refuse(folder, r"model\.safetensors")


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_truncated_pickle_is_an_error_that_names_it(folder, share, legacy):
    tensors = load_file(folder / "model.safetensors")
    as_pickle(folder, tensors, _use_new_zipfile_serialization=not legacy)
    content = (folder / "pytorch_model.bin").read_bytes()
    (folder / "pytorch_model.bin").write_bytes(content[: int(share * len(content))])
    refuse(folder, r"pytorch_model\.bin")


class Intruder:
    """Creates a file where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(folder, tmp_path):
    mark = tmp_path / "mark"
    as_pickle(folder, {"wte.weight": Intruder(mark)})
    refuse(folder, r"pytorch_model\.bin")
    assert not mark.exists()


def test_a_missing_shard_is_an_error_that_names_it(saved, folder):
    (folder / "model.safetensors").unlink()
    GPT2LMHeadModel.from_pretrained(saved).save_pretrained(folder, max_shard_size="2KB")
    shard = sorted(folder.glob("model-*.safetensors"))[1]
    shard.unlink()
    refuse(folder, shard.name)


def test_a_missing_tensor_is_an_error_that_names_it(folder):
    edit_weights(folder, lambda tensors: tensors.pop("transformer.h.1.mlp.c_fc.bias"))
    refuse(folder, r"transformer\.h\.1\.mlp\.c_fc\.bias missing")


def test_an_unexpected_tensor_is_an_error_that_names_it(folder):
    edit_config(folder, n_layer=1)
    refuse(folder, r"transformer\.h\.1\..* unexpected")


def test_lora_tensors_in_the_base_are_not_dropped_silently(folder):
    name = "transformer.h.0.attn.c_attn.lora_A"
    edit_weights(folder, lambda tensors: tensors.update({name: torch.zeros(8, 8)}))
    refuse(folder, "LoRA")


def test_a_tensor_of_another_shape_is_an_error_that_names_it(folder):
    edit_config(folder, n_positions=32)
    refuse(folder, r"transformer\.wpe\.weight is \(16, 8\).*\(32, 8\)")


def test_a_base_of_another_vocabulary_than_its_configuration_is_an_error(folder):
    edit_config(folder, vocab_size=60)
    refuse(folder, r"transformer\.wte\.weight.*50.*60")


def test_quantized_weights_are_an_error(folder):
    name = "transformer.ln_f.weight"
    edit_weights(folder, lambda ts: ts.update({name: ts[name].to(torch.int8)}))
    refuse(folder, r"transformer\.ln_f\.weight.*int8")


NO_GPT2 = [{"model_type": "llama"}, {"n_head": 3}, {"n_embd": "wide"}, {"activation_function": "?"}]


@pytest.mark.parametrize("changes", NO_GPT2)
def test_a_configuration_of_no_gpt2_is_an_error_that_names_it(folder, changes):
    edit_config(folder, **changes)
    refuse(folder, r"config\.json.*no GPT-2")


def test_an_unknown_dtype_is_an_error(saved):
    with pytest.raises(InputError, match=r"model\.dtype=int4: allowed is float32 \| bfloat16"):
        load_base(str(saved), "int4")


def test_a_tokenizer_with_more_ids_than_embeddings_is_an_error(saved):
    model = load_base(str(saved))
    check_vocabulary(model, 50)
    with pytest.raises(InputError, match=r"51 tokens.* 50.*model\.path.*model\.tokenizer"):
        check_vocabulary(model, 51)


@pytest.fixture
def offline(monkeypatch, tmp_path) -> Path:
    """No network and an empty hub cache; returns the cache's folder."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.mark.parametrize("name", ["gpt2-medium", "openai-community/gpt2-medium"])
def test_without_network_a_hub_name_is_an_error_that_says_how_to_fetch_it(offline, name):
    with pytest.raises(InputError) as caught:
        load_base(name)
    message = str(caught.value)
    assert f"model.path={name}" in message
    assert f"`hf download {name} --local-dir gpt2-medium`" in message
    assert "model.path=<folder>" in message
    assert "\n" not in message


def cache(hub: Path, saved: Path) -> Path:
    """Put a model into the hub's cache as `someone/small`."""
    repository, commit = hub / "models--someone--small", "0" * 40
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    return shutil.copytree(saved, repository / "snapshots" / commit)


def test_a_model_in_the_hubs_cache_needs_no_network(offline, saved):
    snapshot = cache(offline, saved)
    assert base_folder("someone/small") == snapshot
    assert torch.equal(logits(load_base("someone/small")), logits(load_base(str(saved))))


def test_a_cached_configuration_without_weights_is_not_taken_for_a_model(offline, saved):
    (cache(offline, saved) / "model.safetensors").unlink()
    with pytest.raises(InputError, match="hf download someone/small"):
        load_base("someone/small")
