"""PEFT's adapters of chosen layers, and of a rank or alpha a layer: PEFT is the oracle."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from lora_lightning.errors import InputError
from lora_lightning.methods.adapter_files import (
    describe_adapter,
    load_adapter,
    locate_adapter,
    other_base,
    save_adapter,
)
from lora_lightning.methods.exports import export_loralib
from lora_lightning.methods.lora_method import LoRA
from tests.methods.models import METHODS, QV, adapted, fresh, logits, refusal, same
from tests.methods.test_peft import as_peft, described_method, peft_folder

TENSORS, OLD_TENSORS = "adapter_model.safetensors", "adapter_model.bin"
WHOLE = LoRA(rank=3, alpha=5, dropout=0.0, targets=["c_attn"])
PER_LAYER = [
    {"targets": ["h.0.attn.c_attn"], "rank": 5},
    {"targets": ["h.1.mlp.c_fc", "h.0.mlp.c_fc"], "alpha": 11.5},
    {"targets": ["mlp"], "rank": 1},
]


def rewritten(folder, change):
    """Rewrite the tensors of a folder; `change` gives the new names and tensors."""
    tensors = load_file(folder / TENSORS)
    save_file(change({name: tensor.contiguous() for name, tensor in tensors.items()}),
              folder / TENSORS)  # fmt: skip


def renamed(folder, rename):
    rewritten(folder, lambda tensors: {rename(name): t for name, t in tensors.items()})


def require_equal(folder, expected):
    """Load a folder by the settings that it describes, and compare with PEFT's logits."""
    method = described_method(folder)
    model = fresh(method)
    load_adapter(model, method, folder)
    torch.testing.assert_close(logits(model), expected, atol=1e-5, rtol=1e-5)
    return method


@pytest.mark.parametrize(
    "settings",
    [
        {"layers_to_transform": [1]},
        {"layers_to_transform": 0, "target_modules": ["c_attn", "c_proj"]},
        {"layers_to_transform": [1], "layers_pattern": "h"},
        {"layers_to_transform": [0], "layers_pattern": ["h"], "use_dora": True},
        {"exclude_modules": ["h.0.attn.c_attn"]},
        {"exclude_modules": r".*\.mlp\..*", "target_modules": ["c_proj", "c_fc"]},
        {"target_modules": r"transformer\.h\.1\.(attn|mlp)\.c_proj"},
        {"target_modules": r".*h\.0\.attn\.c_attn", "use_rslora": True},
        {"rank_pattern": {"h.0.attn.c_attn": 8}, "alpha_pattern": {"h.0.attn.c_attn": 64}},
        {"rank_pattern": {r".*\.1\..*": 2}, "target_modules": ["c_attn", "c_fc"]},
        {"rank_pattern": {"c_fc": 6}, "use_rslora": True, "target_modules": ["c_attn", "c_fc"]},
        {"alpha_pattern": {"c_attn": 7}, "use_dora": True},
        {"rank_pattern": {"h.1.attn.c_attn": 5}, "use_dora": True, "use_rslora": True},
        {"rank_pattern": {"c_attn": 2, "h.0.mlp.c_fc": 4}, "layers_to_transform": [0],
         "target_modules": ["c_attn", "c_fc"], "bias": "lora_only"},
    ],
    ids=str,
)  # fmt: skip
def test_what_pefts_config_chooses_a_layer_is_loaded_with_its_logits(tmp_path, settings):
    require_equal(tmp_path, peft_folder(tmp_path, **settings))


@pytest.mark.parametrize("choice", METHODS)
@pytest.mark.parametrize(
    ("targets", "exceptions"),
    [
        (["c_attn", "c_fc"], PER_LAYER[:2]),
        (["q", "v"], PER_LAYER[:1]),
        (["q", "v", "mlp.c_fc"], PER_LAYER[:2]),
        (["h.1.attn.c_attn", "c_fc"], [{"targets": ["c_fc"], "rank": 1, "alpha": 0.5}]),
    ],
    ids=str,
)
def test_ranks_and_alphas_of_single_layers_are_saved_as_peft_reads_them(
    tmp_path, choice, targets, exceptions
):
    settings = {"rank": 3, "alpha": 5, "dropout": 0.0, "targets": targets}
    method = METHODS[choice](**settings, exceptions=exceptions)
    model = adapted(method)
    save_adapter(model, method, tmp_path)
    torch.testing.assert_close(logits(as_peft(tmp_path).eval()), logits(model),
                               atol=1e-5, rtol=1e-5)  # fmt: skip
    again = described_method(tmp_path)
    loaded = fresh(again)
    load_adapter(loaded, again, tmp_path)
    assert same(loaded.state_dict(), model.state_dict())
    (tmp_path / "lora_lightning.json").unlink()  # as if PEFT had made it
    require_equal(tmp_path, logits(model))


def test_the_first_exception_that_fits_counts_and_the_rest_is_the_methods():
    exceptions = [{"targets": ["h.0.attn.c_attn"], "rank": 5}, {"targets": ["c_attn"], "alpha": 2}]
    model = fresh(LoRA(rank=3, alpha=5, dropout=0.0, targets=["q", "c_fc"], exceptions=exceptions))
    found = {
        name: (model.get_submodule(f"transformer.{name}").rank,
               model.get_submodule(f"transformer.{name}").alpha)
        for name in ("h.0.attn.c_attn", "h.1.attn.c_attn", "h.1.mlp.c_fc")
    }  # fmt: skip
    assert list(found.values()) == [(5, 5), (3, 2), (3, 5)]


@pytest.mark.parametrize(
    ("exception", "said"),
    [
        ({"targets": ["h.9.attn.c_attn"], "rank": 2}, "'h.9.attn.c_attn' fits no projection"),
        ({"targets": ["c_fc"], "rank": 2}, "'c_fc' fits no projection that method.targets adapt"),
        ({"targets": ["c_attn"], "rank": 0}, "method.exceptions[0].rank=0"),
        ({"targets": ["c_attn"], "rank": 99}, "method.exceptions: rank 99 is larger"),
        ({"targets": ["c_attn"], "dropout": 1}, "allowed is {targets:[<names>]"),
        ({"rank": 2}, "allowed is {targets:[<names>]"),
        ({"targets": "c_attn"}, "method.exceptions[0].targets=c_attn"),
    ],
    ids=str,
)
def test_an_exception_that_cannot_be_is_refused(exception, said):
    settings = {"rank": 3, "alpha": 5, "dropout": 0.0, "targets": ["c_attn"]}
    with pytest.raises(InputError) as error:
        fresh(LoRA(**settings, exceptions=[exception]))
    assert said in str(error.value)


def test_torchs_format_of_older_versions_is_read_as_weights_alone(tmp_path):
    expected = peft_folder(tmp_path)
    tensors = load_file(tmp_path / TENSORS)
    torch.save(tensors, tmp_path / OLD_TENSORS)
    (tmp_path / TENSORS).unlink()
    require_equal(tmp_path, expected)
    torch.save(tensors | {"code": print}, tmp_path / OLD_TENSORS)
    with pytest.raises(InputError, match="not weights-only"):
        describe_adapter(tmp_path)


@pytest.mark.parametrize(
    "rename",
    [
        lambda name: name.replace("base_model.model.", "_orig_mod.base_model.model."),
        lambda name: name.replace("model.transformer.", "model._orig_mod.transformer."),
        lambda name: name.replace(".attn.", "._orig_mod.attn._orig_mod."),
        lambda name: name.replace(".weight", ".default.weight"),
        lambda name: name.replace(".weight", ".my-adapter.weight"),
        lambda name: "module." + name.replace(".h.", "._fsdp_wrapped_module.h."),
        lambda name: name.replace("base_model.model.transformer.", "base_model.model."),
        lambda name: name.removesuffix(".weight"),
    ],
    ids=range(8),
)
def test_names_that_wrappers_and_other_programs_left_are_understood(tmp_path, rename):
    expected = peft_folder(tmp_path, rank_pattern={"h.0.attn.c_attn": 8})
    renamed(tmp_path, rename)
    require_equal(tmp_path, expected)


def test_doras_magnitudes_are_found_under_the_names_of_every_version(tmp_path):
    expected = peft_folder(tmp_path, use_dora=True, target_modules=["c_attn", "c_fc"])
    for ending in (".weight", ".default.weight", ".default"):
        renamed(tmp_path, lambda n: n if "magnitude" not in n else n.split("_vector")[0] + "_vector"
                + ending)  # noqa: B023  # fmt: skip
        require_equal(tmp_path, expected)


def test_two_adapters_in_one_file_are_refused(tmp_path):
    peft_folder(tmp_path)
    both = {".weight": ".a.weight", ".b": ".b.weight"}
    rewritten(tmp_path, lambda tensors: {
        n.replace(".weight", end): t.clone() for n, t in tensors.items() for end in both.values()
    })  # fmt: skip
    assert "is there twice, of several adapters" in refusal(fresh(WHOLE), WHOLE, tmp_path)


@pytest.mark.parametrize("name", ["transformer.wte.weight", "lm_head.weight"])
def test_saved_embeddings_of_the_base_itself_are_no_obstacle_others_are_refused(tmp_path, name):
    expected = peft_folder(tmp_path)
    embedding = fresh(WHOLE).transformer.wte.weight.detach().clone()
    rewritten(tmp_path, lambda t: t | {f"base_model.model.{name}": embedding})
    require_equal(tmp_path, expected)
    for other in (embedding + 1, torch.zeros(60, 16)):
        rewritten(tmp_path, lambda t, other=other: t | {f"base_model.model.{name}": other})
        message = refusal(fresh(WHOLE), WHOLE, tmp_path)
        assert f"holds {name}" in message
        assert "merge_and_unload" in message


def test_an_adapter_of_an_embedding_is_refused_by_name(tmp_path):
    peft_folder(tmp_path, target_modules=["c_attn", "wte"])
    message = refusal(fresh(WHOLE), WHOLE, tmp_path)
    assert "wte.lora_embedding_A adapts an embedding" in message


def test_a_config_of_another_rank_than_the_tensors_is_refused(tmp_path):
    peft_folder(tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    for pattern, said in (({"c_attn": 4}, "has rank 3, but adapter_config.json says 4"),
                          ({"c_(attn": 4}, "'c_(attn' is no regular expression"),
                          ({"c_attn": "x"}, "rank 'x' of transformer.h.0.attn.c_attn is not a"),
                          ):  # fmt: skip
        (tmp_path / "adapter_config.json").write_text(
            json.dumps(config | {"rank_pattern": pattern})
        )
        with pytest.raises(InputError) as error:
            describe_adapter(tmp_path)
        assert said in str(error.value)


def test_an_adapter_that_is_not_finite_is_refused_by_tensor(tmp_path):
    peft_folder(tmp_path)
    rewritten(tmp_path, lambda tensors: {n: t * float("nan") for n, t in tensors.items()})
    message = refusal(fresh(WHOLE), WHOLE, tmp_path)
    assert "h.0.attn.c_attn.lora_A holds NaN or infinity" in message


def test_a_run_folder_means_its_adapter_and_a_folder_of_adapters_names_them(tmp_path):
    save_adapter(adapted(), QV, tmp_path / "run" / "adapter")
    assert locate_adapter(tmp_path / "run") == tmp_path / "run" / "adapter"
    model = fresh()
    load_adapter(model, QV, tmp_path / "run")
    assert logits(model).equal(logits(adapted()))
    (tmp_path / "run" / "adapter").rename(tmp_path / "run" / "checkpoint-500")
    assert "there is one in each of checkpoint-500" in refusal(fresh(), QV, tmp_path / "run")


def test_the_references_format_has_one_rank_for_all_layers(tmp_path):
    method = LoRA(rank=2, alpha=6, dropout=0.0, targets=["q"], exceptions=PER_LAYER[:1])
    with pytest.raises(InputError, match=r"one rank and one alpha for all layers; use format=peft"):
        export_loralib(adapted(method), tmp_path / "adapter.pt")


@pytest.mark.parametrize(
    ("named", "base", "is_other"),
    [
        ("gpt2", "gpt2", False),
        ("gpt2", "openai-community/gpt2", False),
        ("gpt2", "gpt2-medium", True),
        ("someone/gpt2", "openai-community/gpt2", True),
        ("gpt2", "{folder}/gpt2", False),
        ("{folder}/gpt2", "{folder}/../{name}/gpt2", False),
        ("/elsewhere/gpt2", "{folder}/gpt2", True),
        (None, "gpt2", False),
    ],
)
def test_the_base_that_an_adapter_names_is_compared_by_name_and_folder(
    tmp_path, named, base, is_other
):
    (tmp_path / "gpt2").mkdir()
    named, base = (text and text.format(folder=tmp_path, name=tmp_path.name)
                   for text in (named, base))  # fmt: skip
    save_adapter(adapted(), QV, tmp_path / "adapter", base=named)
    assert other_base(tmp_path / "adapter", base) == (named if is_other else None)


def test_an_adapter_on_the_hub_is_found_by_name_in_the_hubs_cache(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    repository = tmp_path / "cache" / "models--someone--my.adapter"
    folder = repository / "snapshots" / ("a" * 40)
    save_adapter(adapted(), QV, tmp_path / "adapter")
    shutil.copytree(tmp_path / "adapter", folder)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    assert describe_adapter("someone/my.adapter")["targets"] == ["q", "v"]
    model = fresh()
    load_adapter(model, QV, "someone/my.adapter")
    assert logits(model).equal(logits(adapted()))
    (tmp_path / "someone").mkdir()  # then it is a path that is wrong
    assert "no such file or folder" in refusal(fresh(), QV, "someone/my.adapter")
