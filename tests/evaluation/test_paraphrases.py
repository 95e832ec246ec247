"""METEOR's table cut down to what texts can hold: its numbers stay those of the whole table."""

import gzip
import logging
import os
import random

import numpy as np
import pytest

from lora_lightning.evaluation.java import PARAPHRASES, find_java, jar
from lora_lightning.evaluation.metrics import meteor
from lora_lightning.evaluation.paraphrases.index import ParaphraseIndex, paraphrase_index
from lora_lightning.evaluation.paraphrases.letters import LONGEST, keys_within
from lora_lightning.process import cache_folder

# A dot may join or divide, a dash and an apostrophe divide, a comma only without digits; the Kelvin
# sign and the dotted I are other letters once they are lower-cased.
TABLE = """\
the us
the united states
in 1,000 cases
often
don 't know
do not know
well known
famous
5 k
5 thousand
i\u0307zmir
smyrna
caf\u00e9
coffee shop
\u20ac
euro
often
in many cases
"""
TEXTS = (
    "The U.S. is large", "the United States are large", "In 1,000 cases it rains",
    "often it rains", "I don't know", "I do not know", "a well-known place", "a famous place",
    "5\u212a of them", "5 thousand of them", "in \u0130zmir", "in Smyrna", "a Caf\u00e9",
    "a coffee shop", "one \u20ac", "one Euro",
)  # fmt: skip
MARKS = (
    *[" "] * 60, "-", ".", ". ", ", ", ",", "'", "''", " \u2013 ", "\u2019", "...", " | ",
    "\u212a", "\u0130", "\u00e9", "\u00a0", "\u0436", "DOT", "MULTI", "$", "/", "_", "--",
    "1,0", "U.S.",
)  # fmt: skip


def write_table(path, lines):
    """Write pairs in the jar's format: a probability, a phrase, its paraphrase."""
    phrases = lines.splitlines()
    pairs = zip(phrases[::2], phrases[1::2], strict=True)
    path.write_bytes(gzip.compress("".join(f"0.5\n{a}\n{b}\n" for a, b in pairs).encode()))
    return path


def cut(index, lines, path):
    """The pairs that are left of an index for these lines."""
    index.cut(keys_within(lines), path)
    written = gzip.decompress(path.read_bytes()).decode().splitlines()
    return list(zip(written[1::3], written[2::3], strict=True))


@pytest.fixture
def index(tmp_path):
    return ParaphraseIndex.build(write_table(tmp_path / "table.gz", TABLE))


def test_pairs_are_kept_whose_phrases_both_occur_however_their_words_are_divided(index, tmp_path):
    assert cut(index, TEXTS[:8], tmp_path / "cut.gz") == [
        ("the us", "the united states"),
        ("in 1,000 cases", "often"),
        ("don 't know", "do not know"),
        ("well known", "famous"),
    ]


def test_a_phrase_must_be_whole_in_one_line(index, tmp_path):
    assert ("often", "in many cases") not in cut(
        index, ["often", "in many", "cases in man y"], tmp_path / "cut.gz"
    )
    assert cut(index, ["often", "in many", "cases"], tmp_path / "cut.gz") == []


def test_letters_that_lower_case_makes_ascii_and_phrases_without_letters_count(index, tmp_path):
    pairs = cut(index, TEXTS[8:], tmp_path / "cut.gz")
    assert pairs == [
        ("5 k", "5 thousand"),
        ("i\u0307zmir", "smyrna"),
        ("caf\u00e9", "coffee shop"),
        ("\u20ac", "euro"),
    ]


def test_phrases_with_more_letters_than_are_looked_for_are_kept(tmp_path):
    long = " ".join(["abcdefghij"] * (LONGEST // 10 + 1))
    index = ParaphraseIndex.build(write_table(tmp_path / "long.gz", f"{long}\nshort\n"))
    assert cut(index, ["something short"], tmp_path / "cut.gz") == [(long, "short")]
    assert cut(index, ["something else"], tmp_path / "cut.gz") == []


def test_lines_of_many_blocks_give_what_each_gives_alone(index, tmp_path, monkeypatch):
    whole = cut(index, TEXTS, tmp_path / "cut.gz")
    monkeypatch.setattr("lora_lightning.evaluation.paraphrases.letters._BLOCK", 20)
    assert cut(index, TEXTS, tmp_path / "cut.gz") == whole


def test_a_table_that_is_read_in_pieces_is_the_same(index, tmp_path, monkeypatch):
    monkeypatch.setattr("lora_lightning.evaluation.paraphrases.index._BLOCK", 7)
    other = ParaphraseIndex.build(tmp_path / "table.gz")
    assert np.array_equal(other.pairs, index.pairs)
    assert np.array_equal(other.phrases, index.phrases)


def test_the_index_is_built_once_and_anew_where_it_is_broken(tmp_path, caplog):
    table, calls = write_table(tmp_path / "table.gz", TABLE), []

    def path():
        calls.append(1)
        return table

    built = paraphrase_index(path, "0" * 64, tmp_path / "cache")
    again = paraphrase_index(path, "0" * 64, tmp_path / "cache")
    assert len(calls) == 1
    assert np.array_equal(built.pairs, again.pairs)
    [folder] = (tmp_path / "cache").iterdir()
    (folder / "pairs.npy").write_bytes((folder / "pairs.npy").read_bytes()[:-1])
    mended = paraphrase_index(path, "0" * 64, tmp_path / "cache")
    assert len(calls) == 2
    assert "broken" in caplog.text
    assert np.array_equal(mended.pairs, built.pairs)


def test_where_no_index_can_be_written_there_is_none_and_a_line_says_so(tmp_path, caplog):
    table = write_table(tmp_path / "table.gz", TABLE)
    (tmp_path / "file").write_text("no folder")
    with caplog.at_level(logging.WARNING):
        assert paraphrase_index(lambda: table, "0" * 64, tmp_path / "file") is None
    assert "METEOR loads its whole table" in caplog.text


def test_a_text_with_the_jars_own_escape_gets_the_whole_table(tmp_path):
    lines = ["SCORE ||| it DOTMULTIis ||| it is"]
    assert meteor._paraphrases(lines, tmp_path, tmp_path / "cut.gz") == jar(PARAPHRASES)


def random_segments(count):
    """Texts of the table's own phrases, with what METEOR's rules for words treat apart."""
    generator = random.Random(0)
    with gzip.open(jar(PARAPHRASES), "rt", encoding="utf-8") as file:
        lines = [line.strip() for number, line in zip(range(1_200_000), file, strict=False)
                 if number % 3]  # fmt: skip
    segments = []
    for _ in range(count):
        begin = generator.randrange(0, len(lines) - 2, 2)
        pair = [lines[begin], lines[begin + 1]]
        texts = []
        for own in (pair[0], pair[1], pair[generator.randrange(2)]):
            words = [own, *generator.choices(lines, k=2)]
            generator.shuffle(words)
            text = "".join(word + generator.choice(MARKS) for word in " ".join(words).split())
            texts.append(text.title() if generator.random() < 0.3 else text)
        segments.append((texts[0], texts[1:]))
    return zip(*segments, strict=True)


def test_segments_dealt_out_to_processes_have_the_numbers_of_one(monkeypatch):
    hypotheses, references = random_segments(50)
    java = find_java()
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    one = meteor.statistics(hypotheses, references, java, cache_folder())
    monkeypatch.setattr(meteor, "_TEXTS_WORTH_A_PROCESS", 20)
    assert meteor.statistics(hypotheses, references, java, cache_folder()) == one


@pytest.mark.long
def test_random_texts_get_the_whole_tables_numbers_line_for_line(monkeypatch):
    hypotheses, references = random_segments(3_000)
    java = find_java()
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    whole = meteor.statistics(hypotheses, references, java)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert meteor.statistics(hypotheses, references, java, cache_folder()) == whole
    assert sum(numbers[16] + numbers[18] > 0 for numbers in whole) > 300  # matches by paraphrase
