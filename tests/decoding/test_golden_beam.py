"""The reference's beam search on the tiny golden model: same tokens, same scores."""

import json

import pytest
import torch
from safetensors.torch import load_file
from transformers import GPT2LMHeadModel

from lora_lightning.decoding.beam import advance, start
from lora_lightning.decoding.runner import decode_contexts
from lora_lightning.decoding.settings import BeamSettings
from tests.goldens import golden

CONFIGS = [
    *("paper", "beam1", "beam4_lp0", "lp1", "lp2", "ngram0", "ngram2", "ngram3", "rep12"),
    *("min8", "min20", "min40", "eos1", "len12", "mixed"),
]


@pytest.fixture(scope="module")
def model():
    """The golden base with the golden adapter merged."""
    model = GPT2LMHeadModel.from_pretrained(golden("tiny_model")).eval()
    delta = load_file(golden("lora", "delta_weight.safetensors"))
    with torch.no_grad():
        for index, block in enumerate(model.transformer.h):
            block.attn.c_attn.weight += delta[f"h.{index}.attn.c_attn.delta_weight"]
    return model


def golden_settings(name):
    values = json.loads(golden("beam", "configs.json").read_text())[name]
    end_token_ids = tuple(values.pop("eos_token_ids"))
    return BeamSettings(
        **values, end_token_ids=end_token_ids, no_repeat_ngram_scope="generated", num_return=1
    )


def golden_queries(name):
    return [json.loads(line) for line in golden("beam", f"{name}.jsonl").open(encoding="utf-8")]


def assert_equals_reference(model, name, batch_size, count=None):
    rows = golden_queries(name)[:count]
    queries = [row["query_ids"] for row in rows]
    results = dict(decode_contexts(model, queries, golden_settings(name), batch_size))
    assert len(results) == len(rows)
    for index, row in enumerate(rows):
        best = results[index][0]
        if not row["near_tie"]:
            assert best.tokens == row["tokens"], row["id"]
        assert best.score == pytest.approx(row["score"], abs=1e-4), row["id"]
        assert best.log_probability / best.length ** golden_settings(
            name
        ).length_penalty == pytest.approx(best.score, abs=1e-5)


def test_every_golden_configuration_is_named_here():
    assert set(json.loads(golden("beam", "configs.json").read_text())) == set(CONFIGS)


@pytest.mark.parametrize("name", CONFIGS)
def test_equals_the_reference_at_batch_size_16(model, name):
    assert_equals_reference(model, name, 16)


@pytest.mark.parametrize("batch_size", [1, 5, "auto"])
@pytest.mark.parametrize("name", ["paper", "beam1", "beam4_lp0", "rep12", "min20", "mixed"])
def test_equals_the_reference_at_other_batch_sizes(model, name, batch_size):
    assert_equals_reference(model, name, batch_size, count=8)


@pytest.mark.parametrize("query_id", [0, 1, 5])
@torch.inference_mode()
def test_every_step_keeps_the_candidates_that_the_reference_keeps(model, query_id):
    traces = [json.loads(line) for line in golden("beam", "trace.jsonl").open()]
    steps = next(trace["steps"] for trace in traces if trace["id"] == query_id)
    prompt = golden_queries("paper")[query_id]["query_ids"]
    settings = golden_settings("paper")
    state = start([query_id], [prompt], settings, torch.device("cpu"))
    for number, expected in enumerate(steps):
        generated = state.tokens[0, :, :number]
        texts = torch.cat([torch.tensor([prompt]).expand(len(generated), -1), generated], 1)
        logits = model(texts, logits_to_keep=1).logits  # (beam, 1, vocab)
        state, parents = advance(state, logits.transpose(0, 1), settings)
        for beam, (parent, token, total) in enumerate(expected):
            if total is None:
                continue
            assert (int(parents[0, beam]), int(state.tokens[0, beam, number])) == (parent, token), (
                number
            )
            if token not in settings.end_token_ids and number + 1 < settings.max_new_tokens:
                assert float(state.scores[0, beam]) == pytest.approx(total, abs=1e-4)
    assert len(steps) == settings.max_new_tokens
