"""LoRA of PEFT that begins with values from data, or with something off the base."""

import copy

import peft
import pytest
import torch
from peft.tuners.lora.corda import preprocess_corda
from peft.tuners.lora.loraga import preprocess_loraga

from lora_lightning.errors import InputError
from lora_lightning.methods.adapter_files import load_adapter, save_adapter
from lora_lightning.methods.base import base_tensors
from lora_lightning.methods.inject import merge_adapters, unmerge_adapters
from lora_lightning.methods.method import check_state, initialise_method
from lora_lightning.methods.peft_initial import NEED_DATA
from lora_lightning.methods.peft_method import PEFT
from tests.methods.models import fresh, logits, same, small_gpt2
from tests.methods.test_peft_tuners import packed_logits, padded_logits, plain_base

CHANGE_BASE = ("corda", "lora_ga", "pissa", "pissa_niter_2")
PATTERNS = {"rank_pattern": {"h.0.attn.c_attn": 3}, "alpha_pattern": {"c_fc": 5}}


def configured(init, **settings):
    targets = {"target_modules": ["c_attn", "c_fc"]}
    of_init = {"eva_config": peft.EvaConfig(rho=1.5)} if init == "eva" else {}
    of_init |= {"lora_ga_config": peft.LoraGAConfig()} if init == "lora_ga" else {}
    config = peft.LoraConfig(
        r=2, lora_alpha=6, init_lora_weights=init, **targets, **of_init, **settings
    )
    return PEFT(config, initial_batches=3)


def batches(number=9):
    """Padded rows; the second of each batch is shorter, and begins with what has no label."""
    found = []
    for seed in range(number):
        ids = torch.randint(1, 50, (2, 9), generator=torch.Generator().manual_seed(seed))
        mask = torch.ones_like(ids)
        mask[1, 6:] = ids[1, 6:] = 0
        labels = ids.masked_fill(mask == 0, -100)
        labels[1, :3] = -100
        found.append({"input_ids": ids, "attention_mask": mask, "labels": labels})
    return found


def begun(method):
    model = fresh(method)
    initialise_method(method, model, iter(batches()), torch.device("cpu"))
    return model


def trained(method):
    model = begun(method)
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def by_hand(init, method):
    """PEFT's own functions, called as its documentation says."""
    model, config = plain_base(linear=False), copy.deepcopy(method.config)
    rows = batches()[:3]
    torch.manual_seed(7)

    def each_row():
        for batch in rows:
            for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True):
                model(input_ids=ids[mask.bool()][None])

    def each_batch():
        model.eval()
        for batch in rows:
            model(**batch).loss.backward()

    if init == "corda":
        preprocess_corda(model, config, run_model=each_row)
    if init == "lora_ga":
        preprocess_loraga(model, config, train_step=each_batch)
    theirs = peft.get_peft_model(model, config)
    if init == "eva":
        peft.initialize_lora_eva_weights(theirs, rows, show_progress_bar=False)
    return theirs.eval()


@pytest.mark.parametrize("init", NEED_DATA)
def test_a_and_b_begin_as_pefts_own_functions_make_them_of_the_same_rows(init):
    method = configured(init, **({} if init == "eva" else PATTERNS))
    theirs = by_hand(init, method)
    ours = fresh(method)
    torch.manual_seed(7)
    initialise_method(method, ours, iter(batches()), torch.device("cpu"))
    expected = peft.get_peft_model_state_dict(theirs, save_embedding_layers=False)
    found = {name: t for name, t in method.state(ours).items() if ".start." not in name}
    assert found.keys() == expected.keys()
    # LoRA-GA decomposes with random numbers, of which no sign is fixed.
    for name in found if init != "lora_ga" else ():
        assert torch.allclose(found[name], expected[name], atol=1e-5), name
    shapes = {name: tensor.shape for name, tensor in found.items()}
    assert shapes == {name: tensor.shape for name, tensor in expected.items()}
    if init == "lora_ga":
        for name in (n for n in found if "lora_A" in n):
            other = name.replace("lora_A", "lora_B")
            products = [state[other] @ state[name] for state in (found, expected)]
            assert torch.allclose(*products, atol=1e-4), name
    assert torch.allclose(logits(ours), logits(theirs), atol=1e-4)


@pytest.mark.parametrize("init", [*NEED_DATA, *CHANGE_BASE[2:]])
def test_a_run_begins_as_the_base_which_stays_as_it_was(init):
    method = configured(init)
    model, base = begun(method), small_gpt2()
    assert torch.allclose(logits(model), logits(base), atol=1e-4)
    assert same(base_tensors(model), base_tensors(base))
    assert not any(p.grad is not None for p in model.parameters())
    assert not model.training
    check_state(method, model)
    adapters = {n for n, p in model.named_parameters() if p.requires_grad}
    assert adapters
    assert all(".lora_" in n and ".default." in n for n in adapters)


@pytest.mark.parametrize("init", [*NEED_DATA, *CHANGE_BASE[2:]])
@pytest.mark.parametrize("settings", [{}, {"use_rslora": True}, PATTERNS])
def test_the_saved_adapter_is_a_lora_on_the_untouched_base_to_peft_and_to_us(
    init, settings, tmp_path
):
    if init == "eva" and settings:
        settings = {"use_rslora": True}
    method = configured(init, **settings)
    model = trained(method)
    assert torch.allclose(packed_logits(model), padded_logits(model), atol=1e-4)
    save_adapter(model, method, tmp_path)
    theirs = peft.PeftModel.from_pretrained(plain_base(linear=False), tmp_path).eval()
    assert torch.allclose(logits(theirs), logits(model), atol=1e-4)
    torch.manual_seed(9)
    again = fresh(method)
    load_adapter(again, method, tmp_path)
    assert same(method.state(again), method.state(model))
    assert logits(again).equal(logits(model))
    merge_adapters(again)
    assert torch.allclose(logits(again), logits(model), atol=1e-4)
    unmerge_adapters(again)
    assert logits(again).equal(logits(model))


def test_the_runs_random_numbers_go_on_as_if_nothing_had_begun():
    for init in NEED_DATA:
        method = configured(init)
        model = fresh(method)
        before = torch.get_rng_state()
        initialise_method(method, model, iter(batches()), torch.device("cpu"))
        assert torch.get_rng_state().equal(before)


@pytest.mark.parametrize(("settings", "said"), [
    ({"init_lora_weights": "svd"}, "init_lora_weights=svd: allowed is"),
    ({"init_lora_weights": "pissa_niter_x"}, "pissa_niter_x: allowed is"),
    ({"init_lora_weights": "loftq", "loftq_config": {"loftq_bits": 4}}, "loftq: leaves a"),
    ({"init_lora_weights": "olora"}, "olora: PEFT takes GPT-2's Conv1D the wrong way"),
    ({"init_lora_weights": "pissa", "use_dora": True}, "does not go with method.config.use_dora"),
    ({"init_lora_weights": "corda", "corda_config": {"cache_file": "x"}}, "corda_config.cache"),
])  # fmt: skip
def test_what_cannot_begin_so_is_refused_before_a_model_is_loaded(settings, said):
    described = {"_target_": "peft.LoraConfig", **settings}
    with pytest.raises(InputError, match=said):
        PEFT(described)


def test_components_that_no_micro_batch_has_tokens_for_are_refused():
    config = peft.LoraConfig(r=16, init_lora_weights="eva", target_modules=["c_fc"])
    method = PEFT(config)
    with pytest.raises(InputError, match=r"no micro-batch has more than .* raise data.batch_size"):
        begun(method)
