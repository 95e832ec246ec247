"""What a command decodes with: a base as it is loaded, adapters merged, weights packed."""

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from lora_lightning.decoding.runner import decode_contexts
from lora_lightning.decoding.shared_prompt import SharedPromptModel
from lora_lightning.gpt2.layout import PackedProjection
from lora_lightning.gpt2.load import load_base
from lora_lightning.gpt2.projection import GPT2Projection
from lora_lightning.methods.inject import inject_lora, lora_layers, merge_adapters
from tests.decoding.search import make_settings

VOCABULARY, LAYERS = 40, 2
QUERIES = [[5, 1, 7], [2], [9, 9, 3, 4, 8, 1]]
SETTINGS = make_settings(num_beams=3, max_new_tokens=10, no_repeat_ngram_scope="full")
ADAPTERS = {"none": [], "q and v": ["q", "v"], "all linear": ["c_attn", "c_proj", "c_fc"]}
pytestmark = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="this build of torch has no oneDNN"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A GPT-2 with large random weights, so that its distributions are sharp."""
    torch.manual_seed(0)
    sizes = {"vocab_size": VOCABULARY, "n_positions": 32, "n_embd": 32, "n_head": 4}
    ends = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), 0)
    config = GPT2Config(**sizes, **ends, n_layer=LAYERS, initializer_range=0.3)
    folder = tmp_path_factory.mktemp("base")
    GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(params=ADAPTERS)
def model(folder, request):
    model = load_base(str(folder))
    if targets := ADAPTERS[request.param]:
        inject_lora(model, rank=2, alpha=8, dropout=0.0, targets=targets)
        for layer in lora_layers(model).values():
            torch.nn.init.normal_(layer.lora_B, std=0.3)
        merge_adapters(model)
    return model


def decode(model, packing):
    results = sorted(decode_contexts(model, QUERIES, SETTINGS, packing=packing), key=lambda r: r[0])
    return [found[0] for _, found in results]


def test_every_projection_of_a_loaded_base_is_packed(model):
    twin = SharedPromptModel(model).model
    kinds = [type(module) for module in twin.modules()]
    assert kinds.count(PackedProjection) == 4 * LAYERS + 1
    assert GPT2Projection not in kinds
    assert not lora_layers(twin)
    assert all(block.mlp.c_fc.gelu for block in twin.transformer.h)


def test_the_model_keeps_its_merged_adapters(model):
    before = {name: layer.merged for name, layer in lora_layers(model).items()}
    SharedPromptModel(model)
    assert {name: layer.merged for name, layer in lora_layers(model).items()} == before


def test_packed_weights_decode_what_plain_ones_do(model):
    packed, plain = decode(model, True), decode(model, False)
    assert [h.tokens for h in packed] == [h.tokens for h in plain]
    assert [h.score for h in packed] == pytest.approx([h.score for h in plain], abs=1e-4)


@torch.inference_mode()
def test_packed_weights_decode_what_transformers_does(model):
    for query, found in zip(QUERIES, decode(model, True), strict=True):
        expected = model.generate(
            torch.tensor([query]),
            attention_mask=torch.ones(1, len(query), dtype=torch.int64),
            do_sample=False,
            num_beams=SETTINGS.num_beams,
            max_new_tokens=SETTINGS.max_new_tokens,
            length_penalty=SETTINGS.length_penalty,
            early_stopping="never",
        )
        assert expected[0, len(query) :].tolist() == found.tokens
