"""Every option of `method=`, from the folder of its options, through the commands on the sample."""

import json
import shutil

import pytest

from lora_lightning import load_run
from lora_lightning.data.encoding import encode_contexts
from lora_lightning.methods.inject import adapter_layers, unmerge_adapters
from lora_lightning.tasks.decoder import make_queries
from lora_lightning.tasks.hypotheses import decode_named
from tests.checkpoints.interrupted_runs import assert_same_run, record_rows
from tests.commands import run_command
from tests.methods.options import LINEAR, OPTIONS, overrides_of
from tests.tiny import read_rows

DECODING = ("data.limit_test=3", "generation.num_beams=3", "generation.max_new_tokens=12")
SETTINGS = (
    "trainer=cpu", "trainer.max_steps=3", "data.batch_size=2", "trainer.save_every_n_steps=1",
    "trainer.log_every_n_steps=1", "trainer.limit_val_batches=1", "optimizer.lr=0.1",
    "scheduler=constant", "then=[generate,evaluate]", "protocol.metrics=[bleu]", *DECODING,
)  # fmt: skip
NOTHING_TO_MERGE = {"adapter_h", "adapter_l", "full", "own", "prefix_layer", "top2"}
"""Options that add nothing to a weight."""
EACH_ITS_OWN_WAY = {
    "adalora",  # hooks in training, and ranks that fall
    "adapter_l",  # modules that the base has not, and nothing merged
    "dora",  # magnitudes beside A and B
    "full",  # a whole model
    "ln_tuning",  # PEFT's layers in the place of layer norms
    "top2",  # tensors of the base
    "vera",  # tensors that PEFT's layers share
}
"""Options that are tried every time; others go the way of one, or of a test of their own."""
EVERY = [pytest.param(name, marks=() if name in EACH_ITS_OWN_WAY else pytest.mark.long)
         for name in (*OPTIONS, *LINEAR)]  # fmt: skip
ALONE = [pytest.param(name, marks=() if name == "adalora" else pytest.mark.long)
         for name in (*OPTIONS, *LINEAR) if name != "full"]  # fmt: skip


def predictions(folder):
    return read_rows(folder / "predictions.jsonl")


@pytest.fixture(scope="module")
def user_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("user")


@pytest.fixture(scope="module")
def of_the_base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    run_command("generate", "trainer=cpu", *DECODING, f"output_dir={folder}")
    return [record["tokens"] for record in predictions(folder)]


def decoded(decoder, records):
    """The tokens of every hypothesis for the contexts of records."""
    contexts = encode_contexts([(r["id"], r["context"]) for r in records], decoder.tokenizer)
    queries, _ = make_queries(contexts, decoder)
    found = {context.id: [list(hypothesis.tokens) for hypothesis in hypotheses]
             for context, hypotheses in decode_named(decoder, contexts, queries)}  # fmt: skip
    return [found[record["id"]] for record in records]


@pytest.mark.parametrize("name", EVERY)
def test_it_trains_decodes_scores_and_after_a_kill_goes_on_to_the_same_bits(
    name, of_the_base, user_dir, tmp_path
):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    overrides = overrides_of(name, user_dir)
    with pytest.MonkeyPatch.context() as patch:
        # What a kill within the third micro-batch would leave.
        record_rows(patch, 3, lambda: shutil.copytree(whole, killed))
        run_command("train", *SETTINGS, *overrides, f"output_dir={whole}")
    scores = json.loads((whole / "evaluation" / "test" / "metrics.json").read_text())["scores"]
    assert scores["bleu"] is not None

    run_command("train", f"resume={killed}", "then=[]", f"paths.user_dir={user_dir}")
    assert json.loads((killed / "run.json").read_text())["resumed_at"] == [2]
    assert_same_run(killed, whole)
    if name == "adalora":
        assert "lora_E" in (whole / "adapter" / "adapter_config.json").read_text()  # has pruned

    records = predictions(whole / "predictions" / "test")
    assert all(r["tokens"] != base for r, base in zip(records, of_the_base, strict=True))
    decoder = load_run(whole, trust=True).decoder
    layers = adapter_layers(decoder.model).values()
    assert any(layer.merged for layer in layers) == (name not in NOTHING_TO_MERGE)
    unmerge_adapters(decoder.model)
    assert not any(layer.merged for layer in layers)
    assert decoded(decoder, records) == [
        [hypothesis["tokens"] for hypothesis in record["hypotheses"]] for record in records
    ]


@pytest.mark.parametrize("name", ALONE)
def test_its_adapter_alone_says_how_to_decode_with_it(name, user_dir, tmp_path):
    run, alone = tmp_path / "run", tmp_path / "alone"
    run_command("train", *SETTINGS, *overrides_of(name, user_dir), f"output_dir={run}")
    run_command("generate", f"adapter={run / 'adapter'}", "trainer=cpu", *DECODING,
                f"paths.user_dir={user_dir}", f"output_dir={alone}")  # fmt: skip
    assert predictions(alone) == predictions(run / "predictions" / "test")
