"""The bundled sample data: its formats, its peculiarities, and that the program makes it anew."""

import itertools
import json
import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from lora_lightning.data.sets.webnlg import SEEN_CATEGORIES
from lora_lightning.sample.__main__ import OUTPUT, SEED, sample_files

SLOTS = ["name", "Type", "food", "price", "customer rating", "area", "family friendly", "near"]


@cache
def e2e(split: str) -> list[str]:
    return (OUTPUT / "e2e" / f"{split}.txt").read_text("utf-8").removesuffix("\n").split("\n")


@cache
def webnlg(split: str) -> list[dict]:
    content = json.loads((OUTPUT / "webnlg_challenge_2017" / f"{split}.json").read_text("utf-8"))
    return [entry[str(i)] for i, entry in enumerate(content["entries"], start=1)]


@cache
def dart(split: str) -> list[dict]:
    return json.loads((OUTPUT / "dart" / f"dart-v1.1.1-full-{split}.json").read_text("utf-8"))


def test_the_program_makes_the_committed_files_byte_for_byte():
    made = sample_files(SEED)
    committed = {
        str(path.relative_to(OUTPUT)): path.read_bytes().decode("utf-8")
        for folder in ("e2e", "webnlg_challenge_2017", "dart")
        for path in sorted((OUTPUT / folder).iterdir())
    }
    assert made.keys() == committed.keys()
    assert [name for name in made if made[name] != committed[name]] == []


def test_another_seed_makes_other_texts():
    assert sample_files(SEED + 1)["e2e/test.txt"] != sample_files(SEED)["e2e/test.txt"]


def test_the_texts_and_the_vocabulary_are_small():
    texts = [path for path in OUTPUT.rglob("*") if path.is_file() and path.suffix != ".safetensors"]
    assert sum(path.stat().st_size for path in texts) < 1_500_000


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_e2e_lines_have_the_slots_in_order_and_end_in_one_space(split: str):
    for line in e2e(split):
        context, text = line.split("||")
        keys = [slot.split(" : ")[0] for slot in context.split(" | ")]
        assert keys == [slot for slot in SLOTS if slot in keys]
        assert keys[0] == "name"
        assert re.search(r"\S $", text)
        assert not re.search(r"\w[,.]", text), "punctuation stands between spaces"


def test_e2e_has_the_size_of_a_sample():
    assert 1400 <= len(e2e("train")) <= 1600
    assert 130 <= len(e2e("valid")) <= 170
    references = Counter(line.split("||")[0] for line in e2e("test"))
    assert len(references) == 60
    assert set(references.values()) <= {3, 4, 5, 6}


def test_e2e_equal_inputs_stand_together_except_in_training():
    for split, together in (("train", False), ("valid", True), ("test", True)):
        contexts = [line.split("||")[0] for line in e2e(split)]
        changes = 1 + sum(a != b for a, b in itertools.pairwise(contexts))
        assert (changes == len(set(contexts))) is together


def test_e2e_test_inputs_are_new_and_some_names_too():
    trained = {line.split("||")[0] for line in e2e("train")}
    tested = {line.split("||")[0] for line in e2e("test")}
    assert not trained & tested
    names = {context.split(" | ")[0] for context in tested}
    new = names - {context.split(" | ")[0] for context in trained}
    assert len(new) >= len(names) / 4


def test_e2e_trains_on_more_names_than_can_be_learned_by_heart():
    names = {line.split(" | ")[0] for line in e2e("train")}
    assert len(names) > 200


def test_e2e_has_letters_beyond_ascii():
    assert set("".join(e2e("train"))) - {chr(i) for i in range(128)} == {"£", "é"}


def test_webnlg_has_the_layout_of_the_real_files():
    for split in ("train", "dev", "test"):
        text = (OUTPUT / "webnlg_challenge_2017" / f"{split}.json").read_text("utf-8")
        content = json.loads(text)
        assert text == json.dumps(content, indent=4, sort_keys=True, ensure_ascii=False)
        for entry in webnlg(split):
            assert entry["size"] == str(len(entry["modifiedtripleset"]))
            for triple in entry["modifiedtripleset"]:
                assert triple.keys() == {"subject", "property", "object"}
                assert " " not in triple["subject"]
            for lexicalisation in entry["lexicalisations"]:
                assert lexicalisation.keys() == {"comment", "lang", "lex", "xml_id"}


def test_webnlg_has_unseen_categories_in_the_test_file_only():
    categories = {
        split: {entry["category"] for entry in webnlg(split)} for split in ("train", "test")
    }
    assert categories["train"] <= SEEN_CATEGORIES
    assert categories["test"] - SEEN_CATEGORIES == {"Artist", "Athlete"}
    assert categories["train"] < categories["test"]


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_webnlg_has_the_traps_of_the_real_files(split: str):
    entries = webnlg(split)
    triples = [triple for entry in entries for triple in entry["modifiedtripleset"]]
    assert any(triple["object"].startswith('"') for triple in triples)
    assert any(" " in triple["property"] for triple in triples)
    contexts = [json.dumps(entry["modifiedtripleset"]) for entry in entries]
    assert len(set(contexts)) == len(contexts) - 1, "one input comes twice"
    comments = [{text["comment"] for text in entry["lexicalisations"]} for entry in entries]
    if split == "test":
        assert all(of_entry == {"good"} for of_entry in comments)
    else:
        assert {"toFix"} in comments
        assert {"good", "toFix"} in comments


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_dart_has_the_traps_of_the_real_files(split: str):
    text = (OUTPUT / "dart" / f"dart-v1.1.1-full-{split}.json").read_text("utf-8")
    entries = dart(split)
    assert text == json.dumps(entries, indent=2)
    relations = {relation for entry in entries for _, relation, _ in entry["tripleset"]}
    assert all(relation == relation.upper() for relation in relations)
    assert "[TITLE]" in relations
    texts = [annotation["text"] for entry in entries for annotation in entry["annotations"]]
    assert texts.count("") == 1
    assert any("\t" in text for text in texts)
    assert any("&amp;" in text for text in texts)
    assert sum(not entry["annotations"] for entry in entries) == 1
    assert any("subtree_was_extended" not in entry for entry in entries)
    assert any(entry.get("subtree_was_extended") for entry in entries)


@pytest.mark.parametrize("folder", ["e2e", "webnlg_challenge_2017", "dart"])
def test_the_readme_tells_of_each_folder(folder: str):
    assert folder in Path(OUTPUT / "README.md").read_text("utf-8")
