"""The code of docs/peft.md, run as it stands, against what the commands decode."""

import pytest
import torch
from peft import get_peft_model
from transformers import AutoModelForCausalLM

from lora_lightning.export import export
from tests.commands import run_command
from tests.pages import page_text, run_python
from tests.recorded import copy_recorded
from tests.tiny import read_rows

CONTEXTS = 4


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return copy_recorded(tmp_path_factory.mktemp("runs") / "recorded") / "finished"


@pytest.fixture(scope="module")
def page(run, tmp_path_factory):
    """Everything that the page's code defines, its adapter being an exported one."""
    folder = tmp_path_factory.mktemp("exported") / "adapter"
    export([f"run={run}", "format=peft", f"output={folder}"])
    return run_python(page_text("peft.md"), my_adapter=folder)


def decoded(run, tmp_path, *settings):
    run_command("generate", f"run={run}", "trainer=cpu", f"data.limit_test={CONTEXTS}", *settings,
                "generation.max_new_tokens=64", f"output_dir={tmp_path / 'decoded'}")  # fmt: skip
    return read_rows(tmp_path / "decoded" / "predictions.jsonl")


def test_greedy_gives_the_texts_of_the_command(page, run, tmp_path):
    records = decoded(run, tmp_path, "generation=greedy")
    assert len(records) == CONTEXTS
    assert [page.greedy(r["context"]) for r in records] == [r["text"] for r in records]


def test_beam_search_gives_the_texts_of_the_command(page, run, tmp_path):
    records = decoded(run, tmp_path, "generation=paper")
    assert [page.beams(r["context"]) for r in records] == [r["text"] for r in records]


def test_three_layouts_give_three_texts_and_the_right_one_is_ours(page, run, tmp_path):
    [record, *_] = decoded(run, tmp_path, "generation=greedy")
    right = page.prompt(record["context"])
    space = torch.tensor([page.tokenizer(" ").input_ids])
    texts = [
        page.text(page.model.generate(input_ids=ids, attention_mask=torch.ones_like(ids),
                  do_sample=False, max_new_tokens=64,
                  pad_token_id=page.tokenizer.eos_token_id)[0, ids.shape[1]:])
        for ids in (right, right[:, :-1], torch.cat([right, space], dim=1))
    ]  # fmt: skip
    assert texts[0] == record["text"]
    assert len(set(texts)) == 3


def test_the_merged_folder_has_the_adapters_logits(page, run, tmp_path):
    export([f"run={run}", "format=merged", f"output={tmp_path / 'merged'}"])
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged").eval()
    query = page.prompt("name : Blue Spice")
    with torch.no_grad():
        torch.testing.assert_close(merged(query).logits, page.model(query).logits)


def test_an_adapter_of_peft_trained_on_the_pages_rows_decodes_here_as_there(page, tmp_path):
    torch.manual_seed(0)
    base = page.model.peft_config["default"].base_model_name_or_path
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), page.config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    context = "name : Blue Spice | food : pub"
    for _ in range(30):
        optimizer.zero_grad()
        model(**page.row(context, "Blue Spice is a pub .")).loss.backward()
        optimizer.step()
    model.eval().save_pretrained(tmp_path / "theirs")
    (tmp_path / "contexts.txt").write_text(f"{context}\n")
    run_command("generate", f"adapter={tmp_path}/theirs", f"inputs={tmp_path}/contexts.txt",
                f"model.path={base}", "trainer=cpu", "generation=greedy",
                f"output_dir={tmp_path}/decoded")  # fmt: skip
    [record] = read_rows(tmp_path / "decoded" / "predictions.jsonl")
    page.model = model
    query = page.prompt(context)
    found = model.generate(input_ids=query, attention_mask=torch.ones_like(query), do_sample=False,
                           max_new_tokens=20, pad_token_id=page.tokenizer.eos_token_id)  # fmt: skip
    assert record["text"] == page.text(found[0, query.shape[1] :]) == "Blue Spice is a pub ."
