"""PEFT's tuners through our engine: what PEFT computes, saves and reads, packed."""

import copy
import dataclasses
from types import SimpleNamespace

import peft
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from transformers import GPT2LMHeadModel

from lora_lightning.config.search_path import CONFIGS
from lora_lightning.errors import InputError
from lora_lightning.gpt2.forward import packed_hidden_states, require_packable
from lora_lightning.gpt2.projection import with_linear_projections
from lora_lightning.methods.adapter_files import (
    adapter_method,
    describe_adapter,
    load_adapter,
    save_adapter,
)
from lora_lightning.methods.base import adapter_tensors, base_tensors, trained_tensors
from lora_lightning.methods.exports import export_merged, export_peft
from lora_lightning.methods.formats.peft_tuner import LINEAR_ONLY
from lora_lightning.methods.inject import (
    adapter_layers,
    merge_adapters,
    unmerge_adapters,
    unwrap_merged,
)
from lora_lightning.methods.lora_method import LoRA
from lora_lightning.methods.method import check_state
from lora_lightning.methods.peft_method import PEFT, REFUSED, config_of, wrapped_by_peft
from tests.methods.models import fresh, logits, randomize, refusal, same, small_gpt2

# What an option's settings are for a model 16 wide.
SMALL = {
    "vera": {"r": 4},
    "pvera": {"r": 4},
    "fourierft": {"n_frequency": 20},
    "waveft": {"n_frequency": 20},
    "vblora": {"num_vectors": 8, "vector_length": 4},
    "randlora": {"r": 2},
}
ROWS = [[3, 4, 5, 6, 7], [8, 9, 10], [11, 12, 13, 14]]
# Besides what these need, every tuner is tried as PEFT has it by default.
NEEDED = {
    "ADALORA": {"total_step": 9},
    "C3A": {"block_size": 8},
    "CPT": {"task_type": "CAUSAL_LM"},
    "IA3": {"target_modules": ["c_attn"], "feedforward_modules": []},
    "LN_TUNING": {"target_modules": ["ln_1"]},
    "MISS": {"r": 4},
    "PSOFT": {"r": 4},
    "ROAD": {"group_size": 16},
    "SHIRA": {"r": 2},
    "VBLORA": {"num_vectors": 8, "vector_length": 4},
    "FOURIERFT": {"n_frequency": 20},
    "WAVEFT": {"n_frequency": 20},
    "TRAINABLE_TOKENS": {"token_indices": [1]},
}
WITH_CONV1D = {
    "ADALORA", "DEFT", "FOURIERFT", "FROD", "GRALORA", "HIRA", "IA3", "LN_TUNING", "LORA", "PVERA",
    "RANDLORA", "TINYLORA", "UNILORA", "VBLORA", "VERA", "WAVEFT",
}  # fmt: skip
OTHER_LIBRARIES = {"ADAMSS"}  # needs scikit-learn


def of_option(name):
    node = OmegaConf.load(CONFIGS / "method" / f"{name}.yaml")
    node = OmegaConf.merge(OmegaConf.load(CONFIGS / "method" / "peft.yaml"), node)
    node.pop("defaults", None)
    config = {**node.pop("config"), **SMALL.get(name, {})}
    return PEFT(instantiate(config, _convert_="all"), node.linear)


def shipped():
    files = (CONFIGS / "method").glob("*.yaml")
    return sorted(file.stem for file in files if "- peft\n" in file.read_text())


METHODS = {name: of_option(name) for name in shipped()}
METHODS["linear"] = PEFT(peft.LoHaConfig(r=2, target_modules=["c_attn", "c_fc"]), linear=True)


@pytest.fixture(params=METHODS)
def method(request):
    return METHODS[request.param]


def trained(method, seed=0):
    """A model with other numbers in all that is trained, in evaluation mode: without noise."""
    model = fresh(method, seed)
    torch.manual_seed(seed + 1)
    with torch.no_grad():
        for tensor in trained_tensors(model).values():
            if tensor.requires_grad:
                tensor.add_(0.1 * torch.randn_like(tensor))
    return model


def plain_base(linear):
    """transformers' own modules, or PEFT's lines for a tuner that needs `nn.Linear`."""
    ours = small_gpt2()
    model = GPT2LMHeadModel(ours.config).eval()
    model.load_state_dict(ours.state_dict())
    return with_linear_projections(model) if linear else model


def packed_logits(model):
    lengths = [len(row) for row in ROWS]
    rows = SimpleNamespace(
        input_ids=torch.tensor([token for row in ROWS for token in row]),
        position_ids=torch.cat([torch.arange(length) for length in lengths]),
        lengths=lengths,
        longest=max(lengths),
    )
    hidden = packed_hidden_states(model.transformer, rows, torch.arange(sum(lengths)))
    return hidden @ model.lm_head.weight.T


def padded_logits(model):
    longest = max(map(len, ROWS))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in ROWS])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in ROWS])
    found = model(input_ids=ids, attention_mask=mask).logits
    return torch.cat([rows[: len(row)] for rows, row in zip(found, ROWS, strict=True)])


def gradients(parameters, result):
    named = dict(parameters)
    found = torch.autograd.grad(result.log_softmax(-1)[:, 3].mean(), list(named.values()))
    return dict(zip(named, found, strict=True))


def test_the_options_are_those_of_the_table():
    assert shipped() == [
        "adalora", "fourierft", "gralora", "hira", "ia3", "ln_tuning", "pvera", "randlora",
        "tinylora", "unilora", "vblora", "vera", "waveft",
    ]  # fmt: skip


def test_a_packed_step_equals_pefts_own_on_padded_rows(method, tmp_path):
    model = trained(method)
    require_packable(model)
    check_state(method, model)
    config = copy.deepcopy(method.config)
    theirs = peft.get_peft_model(plain_base(method.linear), config).eval()
    peft.set_peft_model_state_dict(theirs, method.state(model))
    ours = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    others = [(name.removeprefix("base_model.model."), p) for name, p in theirs.named_parameters()
              if p.requires_grad]  # fmt: skip
    result, expected = packed_logits(model), padded_logits(theirs)
    assert torch.allclose(result, expected, atol=1e-5)
    found, wanted = gradients(ours, result), gradients(others, expected)
    assert found.keys() == wanted.keys()
    for name in found:
        assert torch.allclose(found[name], wanted[name], atol=1e-5), name


def test_peft_reads_what_we_wrote_and_we_what_peft_wrote(method, tmp_path):
    model = trained(method)
    save_adapter(model, method, tmp_path / "ours")
    theirs = peft.PeftModel.from_pretrained(plain_base(method.linear), tmp_path / "ours").eval()
    assert torch.allclose(logits(theirs), logits(model), atol=1e-5)
    theirs.save_pretrained(tmp_path / "theirs")
    for folder in ("ours", "theirs"):
        assert adapter_method(tmp_path / folder) == "peft"
        described = describe_adapter(tmp_path / folder)
        again = instantiate(OmegaConf.create(described), _convert_="all")
        torch.manual_seed(9)
        loaded = small_gpt2()
        again.apply(loaded)
        load_adapter(loaded, again, tmp_path / folder)
        assert logits(loaded).equal(logits(model))
    export_peft(model, method, tmp_path / "exported")
    names = ("adapter_config.json", "adapter_model.safetensors")
    assert all((tmp_path / "exported" / n).read_bytes() == (tmp_path / "ours" / n).read_bytes()
               for n in names)  # fmt: skip


def test_merged_equals_unmerged_and_unmerging_restores_every_bit(method, tmp_path):
    model = trained(method)
    expected = logits(model)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    export_merged(model, tmp_path)
    merge_adapters(model)
    assert all(layer.merged for layer in adapter_layers(model).values())
    twin = copy.deepcopy(model)
    unwrap_merged(twin)
    assert not adapter_tensors(twin)
    assert torch.allclose(logits(twin), expected, atol=1e-4)
    unmerge_adapters(model)
    assert same(model.state_dict(), before)
    whole = GPT2LMHeadModel.from_pretrained(tmp_path).eval()
    assert torch.allclose(logits(whole), expected, atol=1e-4)


def test_the_base_is_known_beneath_every_tuner(method):
    assert same(base_tensors(fresh(method)), base_tensors(small_gpt2()))


def test_the_table_counts_what_is_trained(method):
    model = fresh(method)
    count = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert sum(row.count for row in method.parameter_table(model)) == count


def test_a_lora_of_pefts_on_all_of_c_attn_is_our_lora_on_q_k_and_v():
    ours = randomize(fresh(LoRA(rank=2, alpha=6, dropout=0.0, targets=["q", "k", "v"])))
    config = peft.LoraConfig(r=6, lora_alpha=18, target_modules=["c_attn"])
    theirs = fresh(PEFT(config))
    for name, layer in theirs.named_modules():
        if isinstance(layer, peft.tuners.lora.LoraLayer):
            source = ours.get_submodule(name)
            layer.lora_A["default"].weight.data = source.lora_A.detach().clone()
            layer.lora_B["default"].weight.data = source.expansion().T.detach().clone()
    assert torch.allclose(packed_logits(theirs), packed_logits(ours), atol=1e-5)


def allocated(updates=6):
    """AdaLoRA after a few updates with pruning, and its method."""
    method = METHODS["adalora"]
    model = fresh(method)
    method.begin(model, updates)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1)
    losses = []
    for update in range(1, updates + 1):
        loss = packed_logits(model).log_softmax(-1)[:, 3].mean()
        losses.append(loss.item())
        (loss + method.extra_loss(model)).backward()
        optimizer.step()
        method.after_step(model, update)
        optimizer.zero_grad()
    return method, model, losses


def test_adalora_spends_its_budget_as_in_pefts_own_loop():
    method, model, losses = allocated()
    theirs = plain_base(False)
    config = dataclasses.replace(method.config, total_step=6, task_type="CAUSAL_LM")
    wrapped = peft.get_peft_model(theirs, config).eval()
    start = fresh(method)
    peft.set_peft_model_state_dict(wrapped, method.state(start))
    optimizer = torch.optim.AdamW([p for p in wrapped.parameters() if p.requires_grad], lr=0.1)
    for update in range(1, 7):
        output = wrapped(input_ids=torch.tensor([ROWS[1]]), labels=torch.tensor([ROWS[1]]))
        penalty = output.loss - torch.nn.functional.cross_entropy(
            output.logits[0, :-1], torch.tensor(ROWS[1][1:])
        )
        loss = padded_logits(wrapped).log_softmax(-1)[:, 3].mean()
        assert loss.item() == pytest.approx(losses[update - 1], abs=1e-4)
        (loss + penalty).backward()
        optimizer.step()
        wrapped.base_model.update_and_allocate(update)
        optimizer.zero_grad()
    expected = wrapped.peft_config["default"].rank_pattern
    assert config_of(model).rank_pattern == expected
    assert sum(map(sum, expected.values())) == 2 * method.config.target_r


def test_a_pruned_adalora_is_the_same_in_peft_and_read_again(tmp_path):
    method, model, _ = allocated()
    save_adapter(model, method, tmp_path)
    theirs = peft.PeftModel.from_pretrained(plain_base(False), tmp_path).eval()
    assert torch.allclose(logits(theirs), logits(model), atol=1e-5)
    loaded = fresh(method)
    load_adapter(loaded, method, tmp_path)
    assert torch.allclose(logits(loaded), logits(model), atol=1e-5)


def test_what_adalora_knows_of_its_ranks_survives_a_checkpoint():
    method, model, _ = allocated(3)
    other = fresh(method)
    method.load_training_state(other, copy.deepcopy(method.training_state(model)))
    ours, theirs = method.training_state(model), method.training_state(other)
    assert ours["rank_pattern"] == theirs["rank_pattern"] is not None
    assert all(same(ours[key], theirs[key]) for key in ("exp_avg_ipt", "exp_avg_unc", "ipt"))


def test_a_run_too_short_for_adalora_is_refused_by_its_keys():
    method = dataclasses.replace(METHODS["adalora"])
    method.config.tinit, before = 5, method.config.tinit
    with pytest.raises(InputError, match="tinit=5"):
        method.begin(fresh(method), 5)
    method.config.tinit = before


def fits(kind, linear):
    """Whether a tuner goes into GPT-2 and trains something there."""
    config_type = PEFT_TYPE_TO_CONFIG_MAPPING[kind]
    needed = dict(NEEDED.get(kind, {}))
    names = {field.name for field in dataclasses.fields(config_type)}
    if "target_modules" in names and kind != "TRAINABLE_TOKENS":
        needed.setdefault("target_modules", ["c_attn"])
    try:
        model = fresh(method := PEFT(config_type(**needed), linear))
        require_packable(model)
        check_state(method, model)
    except (InputError, ImportError):
        return False
    return True


@pytest.mark.parametrize("kind", sorted(map(str.upper, PEFT_TYPE_TO_CONFIG_MAPPING)))
def test_which_of_pefts_tuners_fit_is_known_of_each(kind):
    fitting = {linear for linear in (False, True) if fits(kind, linear)}
    if kind in WITH_CONV1D:
        assert False in fitting
    elif kind in LINEAR_ONLY:
        assert fitting == {True}
    else:
        assert fitting == set()
        prompts = {"ADAPTION_PROMPT", "CARTRIDGE", "CPT", "MULTITASK_PROMPT_TUNING", "P_TUNING",
                   "PREFIX_TUNING", "PROMPT_TUNING"}  # fmt: skip
        assert kind in prompts | OTHER_LIBRARIES | set(REFUSED)


def test_other_tuners_settings_and_bases_are_refused_by_name(tmp_path):
    vera, ia3 = METHODS["vera"], METHODS["ia3"]
    save_adapter(trained(vera), vera, tmp_path)
    assert "is a VERA adapter" in refusal(fresh(ia3), ia3, tmp_path)
    other = PEFT(dataclasses.replace(vera.config, r=5))
    assert "method.config.r" in refusal(fresh(other), other, tmp_path)
    assert "other weights" in refusal(fresh(vera, seed=4), vera, tmp_path)
    plain = LoRA(rank=2, alpha=6, dropout=0.0, targets=["q"])
    assert "method=peft" in refusal(fresh(plain), plain, tmp_path)


@pytest.mark.parametrize("target", ["nothing", "wte"])
def test_targets_that_fit_nothing_or_what_is_tied_are_refused(target):
    method = PEFT(peft.LoraConfig(target_modules=[target]))
    with pytest.raises(InputError, match=target):
        method.apply(small_gpt2())


def test_wrapped_models_are_reached_through_the_model_alone():
    model = fresh(METHODS["vera"])
    assert wrapped_by_peft(model).base_model.model is model
    assert not any(name.startswith("peft_model") for name, _ in model.named_modules())
