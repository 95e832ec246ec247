"""The decoding task: what is written, what a kill leaves behind, what is drawn."""

import json
import math
import os
import re
import signal
import subprocess
import sys
import time

import pytest
import torch
from omegaconf import OmegaConf

from lora_lightning.config.compose import composed
from lora_lightning.data.encoding import Context
from lora_lightning.decoding.hypotheses import NOTHING
from lora_lightning.errors import InputError
from lora_lightning.tasks.decoder import Decoder, load_decoder
from lora_lightning.tasks.hypotheses import decode_named, prediction_record
from tests.commands import run_command
from tests.goldens import ROOT
from tests.tiny import read_rows

SMALL = ("trainer=cpu", "generation.num_beams=3", "generation.max_new_tokens=12")


def generate(folder, *arguments):
    run_command("generate", *SMALL, f"output_dir={folder}", *arguments)
    return read_rows(folder / "predictions.jsonl"), json.loads(
        (folder / "manifest.json").read_text()
    )


def assert_same(found, expected):
    """The same records, up to what the order of sums decides."""
    for key in ("id", "context", "text", "tokens"):
        assert [record[key] for record in found] == [record[key] for record in expected]
    scores = [record["score"] for record in expected]
    assert [record["score"] for record in found] == pytest.approx(scores, abs=1e-4)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return generate(tmp_path_factory.mktemp("whole") / "predictions", "data.limit_test=12")


def test_the_manifest_has_the_throughput(whole):
    _, manifest = whole
    assert set(manifest["throughput"]) == {"contexts_per_second", "tokens_per_second"}
    assert all(value > 0 for value in manifest["throughput"].values())


@pytest.mark.parametrize(
    "speed", ["generation.batch_size=1", "generation.max_memory=3000000", "model.packed=false"]
)
def test_batch_memory_and_packing_change_nothing_but_the_speed(whole, tmp_path, speed):
    records, _ = generate(tmp_path / "other", "data.limit_test=12", speed)
    assert_same(records, whole[0])


def test_the_log_says_once_what_packed_weights_take(tmp_path):
    generate(tmp_path / "packed", "data.limit_test=1", "model.packed=true")
    log = (tmp_path / "packed" / "generate.log").read_text()
    assert re.findall(r"packed +weights laid out .*", log) == [
        "packed        weights laid out for this CPU, 4.2 MB"
    ]


def test_log_probabilities_of_tokens_are_written_on_request_only(whole, tmp_path):
    assert "token_log_probabilities" not in whole[0][0]["hypotheses"][0]
    records, _ = generate(
        tmp_path / "other", "data.limit_test=2", "generation.token_log_probabilities=true"
    )
    for record in records:
        for hypothesis in record["hypotheses"]:
            assert len(hypothesis["token_log_probabilities"]) == hypothesis["length"]
            total = sum(hypothesis["token_log_probabilities"])
            assert total == pytest.approx(hypothesis["log_probability"], abs=1e-4)


def test_drawn_texts_depend_on_the_seed_and_not_on_the_batch(tmp_path):
    def draw(name, *arguments):
        arguments = ("generation=sample", "data.limit_test=4", *arguments)
        return generate(tmp_path / name, *arguments)[0]

    first = draw("first")
    assert_same(draw("one_by_one", "generation.batch_size=1"), first)
    other = draw("another", "seed=1")
    assert [record["tokens"] for record in other] != [record["tokens"] for record in first]


def test_a_killed_run_goes_on_where_it_was(tmp_path):
    folder = tmp_path / "predictions"
    arguments = [*SMALL, f"output_dir={folder}", "generation.batch_size=2", "data.limit_test=60"]
    process = subprocess.Popen(
        [sys.executable, "generate.py", *arguments],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    shard = folder / "shards" / "rank_0.jsonl"
    deadline = time.monotonic() + 120
    while not (shard.exists() and shard.read_bytes().count(b"\n") > 5):
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    written = shard.read_bytes().count(b"\n") - 1
    assert not (folder / "predictions.jsonl").exists()

    records, manifest = generate(folder, "generation.batch_size=2", "data.limit_test=60")
    uninterrupted, _ = generate(tmp_path / "other", "data.limit_test=60")
    assert 5 <= written < 60
    assert_same(records, uninterrupted)
    assert manifest["counts"]["contexts"] == 60


@pytest.fixture(scope="module")
def decoder():
    """The bundled base with a small search."""
    config = composed("generate", [*SMALL, "output_dir=unused"])
    OmegaConf.resolve(config.model)
    return load_decoder(config, None)


def test_logits_that_are_no_numbers_are_reported_with_the_contexts_id(decoder: Decoder):
    with torch.no_grad():
        embedding = decoder.model.transformer.wte.weight
        good = embedding[7].clone()
        embedding[7] = math.nan
    contexts = [Context(id="a", text="", query_ids=[5]), Context(id="b", text="", query_ids=[7, 7])]
    try:
        with pytest.raises(InputError, match=r"'[ab]', token 1: .*NaN or infinite"):
            list(decode_named(decoder, contexts, [[5], [7, 7]]))
    finally:
        with torch.no_grad():
            embedding[7] = good


def test_an_impossible_context_is_an_empty_text_in_valid_json(decoder: Decoder):
    context = Context(id=3, text="name : X", query_ids=[1])
    record = prediction_record(context, [NOTHING], decoder)
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert (record["text"], record["tokens"], record["score"]) == ("", [], None)
    assert record["hypotheses"][0]["log_probability"] is None
