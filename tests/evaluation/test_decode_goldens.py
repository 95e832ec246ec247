"""Scorer files equal those of the reference's decode script, byte for byte."""

import gzip
import json
from dataclasses import dataclass

import pytest

from lora_lightning.evaluation.files import (
    write_lines,
    write_reference_files,
    write_reference_groups,
)
from lora_lightning.evaluation.grouping import Group, group_rows
from lora_lightning.evaluation.text import cut_text, tokenise
from tests.goldens import golden, shared

RUNS = ["e2e plain", "e2e tok_lower", "e2e unique_ids", "webnlg all", "webnlg seen"]
RUNS += ["webnlg unseen", "webnlg plain", "dart all", "dart plain"]


@dataclass
class Row:
    context: str
    completion: str
    seen: bool | None
    category: str | None = None


@pytest.fixture(scope="module")
def decode():
    transformers = pytest.importorskip("transformers")
    return transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(shared("gpt2-vocab", "tokenizer.json"))
    ).decode


def read_jsonl(name):
    with gzip.open(golden("decode", name), "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def option(options, name, default):
    return options[options.index(name) + 1] if name in options else default


def decode_run(run, decode):
    """The groups of a golden run, and the prediction of each, as the reference finds them.

    It may group by given ids, keep one kind of category, and of a group's predictions, one a row,
    it takes the last in the file's order, also where that row's reference was dropped.
    """
    records = read_jsonl(f"{run['data']}_valid_formatted.jsonl.gz")
    ids = [record["context"] for record in records]
    if ids_file := option(run["options"], "--ref_unique_file", None):
        ids = gzip.decompress(golden("decode", f"{ids_file}.gz").read_bytes()).decode().split()
    rows = [Row(id, r["completion"], r.get("cate")) for id, r in zip(ids, records, strict=True)]
    kind = option(run["options"], "--filter", "all")
    groups = group_rows([row for row in rows if kind == "all" or row.seen is (kind == "seen")])
    predictions = read_jsonl(f"{run['data']}_predictions.jsonl.gz")
    last = {ids[p["id"]]: cut_text(decode(p["predict"])) for p in predictions}
    return groups, [last[group.context] for group in groups]


def process(text, options):
    text = text.lower() if "--lower" in options else text
    return tokenise(text) if "--tokenize" in options else text


@pytest.mark.parametrize("name", RUNS)
def test_files_equal_the_references_decode_script(name, decode, tmp_path):
    runs = json.loads(golden("decode", "runs.json").read_text())
    run = next(r for r in runs if f"{r['data']} {r['name']}" == name)
    groups, texts = decode_run(run, decode)
    options = run["options"]
    references = [[process(text, options) for text in group.references] for group in groups]
    write_lines(tmp_path / run["pred"], [process(text, options) for text in texts])
    if ".." in run["refs"]:
        folder = run["refs"].split("/")[0]
        count = int(option(options, "--ref_num", "6"))
        written = write_reference_files(tmp_path / folder, references, count)
        names = [f"{folder}/{path.name}" for path in written]
    else:
        names = [run["refs"]]
        write_reference_groups(tmp_path / run["refs"], references)
    for file in [run["pred"], *names]:
        expected = gzip.decompress(golden("decode", f"{file}.gz").read_bytes())
        assert (tmp_path / file).read_bytes() == expected, file


def test_groups_are_typed():
    assert group_rows([Row("a", " x ", None)]) == [Group("a", (0,), ("x",), None)]
