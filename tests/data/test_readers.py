"""Raw files become rows as in the reference; what is wrong in them is named with its place."""

import gzip
import json
import logging

import pytest

from lora_lightning.data.example import Example
from lora_lightning.data.sets.csv import COLUMNS, read_csv
from lora_lightning.data.sets.dart import read_dart
from lora_lightning.data.sets.e2e import read_e2e
from lora_lightning.data.sets.jsonl import FIELDS, read_jsonl
from lora_lightning.data.sets.webnlg import read_webnlg
from lora_lightning.errors import InputError
from tests.goldens import shared

TRIPLE = {"subject": "Aarhus", "property": "leaderName", "object": "Jacob"}


def webnlg_entry(
    key="1", category="Airport", triples=(TRIPLE,), texts=(("good", "A text."),), **further
):
    """Return an entry; a text is a comment, the text and perhaps its language."""
    names = ("comment", "lex", "lang")
    lexicalisations = [dict(zip(names, text, strict=False)) for text in texts]
    content = {"category": category, "modifiedtripleset": list(triples), **further}
    return {key: {**content, "lexicalisations": lexicalisations}}


def dart_entry(triples=(("Mars Hill", "JOINED IN", "1973"),), texts=("A text.",)):
    annotations = [{"source": "made up", "text": text} for text in texts]
    return {"tripleset": [list(triple) for triple in triples], "annotations": annotations}


def test_e2e_strips_the_line_and_divides_it_at_the_bars(write):
    path = write("train.txt", " name : A | area : b ||A is in b . \r\nname : C||  C\n")
    assert read_e2e(path) == [
        Example("name : A | area : b ", "A is in b ."),
        Example("name : C", "  C"),
    ]


def test_webnlg_gives_one_row_per_good_text_and_tells_seen_categories(write):
    second = {"subject": "s ", "property": "p q", "object": '"o"'}
    entries = [
        webnlg_entry("1", texts=[("good", "One."), ("toFix", "No."), ("good", "Two.")]),
        webnlg_entry("2", "Artist", [TRIPLE, second]),
    ]
    assert read_webnlg(write("dev.json", {"entries": entries})) == [
        Example("Aarhus : leaderName : Jacob", "One.", "Airport", True),
        Example("Aarhus : leaderName : Jacob", "Two.", "Airport", True),
        Example('Aarhus : leaderName : Jacob | s  : p q : "o"', "A text.", "Artist", False),
    ]


def webnlg_texts(write, texts, language="en"):
    rows = read_webnlg(write("f.json", {"entries": [webnlg_entry(texts=texts)]}), language)
    return [row.completion for row in rows]


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.INFO, logger="lora_lightning")
    return caplog


def test_webnlg_reads_one_language_and_says_what_it_leaves_out(write, said):
    texts = [("good", "One.", "en"), ("good", "Раз.", "ru"), ("good", "Two."), ("", "Три.", "ru")]
    assert webnlg_texts(write, texts) == ["One.", "Two."]
    assert webnlg_texts(write, texts, "ru") == ["Раз."]
    assert "2 of 4 texts of" in said.messages[0]
    assert said.messages[0].endswith("f.json: 2 in ru")
    assert said.messages[1].endswith("2 in en, 1 without comment")
    with pytest.raises(InputError, match=r"no text counts under data.language=de \(2 in en, 2 in"):
        webnlg_texts(write, texts, "de")


def test_webnlg_counts_the_texts_with_other_comments(write, said):
    texts = [("good", "One."), ("toFix", "2."), ("toFix", "3."), ("", "4."), ("good", "Five.")]
    assert webnlg_texts(write, texts) == ["One.", "Five."]
    assert said.messages[0].endswith("1 without comment, 2 with comment 'toFix'")


@pytest.mark.parametrize("comment", ["", None])
def test_webnlg_without_any_approval_keeps_the_texts_without_comment(write, said, comment):
    texts = [(comment, "One."), ("toFix", "Two."), (comment, "Three.")]
    assert webnlg_texts(write, texts) == ["One.", "Three."]
    assert said.messages[0].endswith("1 with comment 'toFix'")


@pytest.mark.parametrize(
    ("entry", "is_later"),
    [
        ({"shape": "NA"}, False),
        ({"texts": [("good", "A.", "")]}, False),
        ({"texts": [("good", "A.", "en")]}, True),
        ({"texts": [("", "A.")]}, True),
        ({"shape": "(X (X))"}, True),
        ({"category": "Company"}, True),
    ],
)
def test_webnlgs_seen_categories_are_those_of_the_files_release(write, entry, is_later):
    categories = ["Airport", "Artist", "CelestialBody", "Film"]
    entries = [webnlg_entry("1", **{"category": "City", **entry})]
    texts = entry.get("texts", [("good", "A.")])
    entries += [webnlg_entry(str(n), c, texts=texts) for n, c in enumerate(categories, start=2)]
    if not is_later:
        entries.pop()  # no category of the challenge
    seen = {row.category: row.seen for row in read_webnlg(write("f.json", {"entries": entries}))}
    later = {"Artist": True, "CelestialBody": True, "Film": False}
    known = later if is_later else {"Artist": False, "CelestialBody": False}
    assert seen == {entry.get("category", "City"): True, "Airport": True, **known}


def test_dart_lowers_the_relation_and_keeps_empty_texts(write):
    entries = [dart_entry([("A", "B C", "D"), ("E", "F", "G")], ["One.", ""]), dart_entry(texts=[])]
    assert read_dart(write("dev.json", entries)) == [
        Example("A : b c : D | E : f : G", "One.", "made up"),
        Example("A : b c : D | E : f : G", "", "made up"),
    ]


def test_json_lines_hold_texts_or_token_ids_taken_as_they_stand(write):
    lines = [
        '{"context": "a", "completion": "b", "cate": false, "category": "Artist", "other": 1}',
        '{"context": [5, 0], "completion": [], "cate": null}',
    ]
    assert read_jsonl(write("train.jsonl", "\n".join(lines))) == [
        Example("a", "b", "Artist", False),
        Example((5, 0), ()),
    ]


def test_json_may_be_one_list_and_its_fields_have_any_name(write):
    records = [
        {"input": "a", "output": "b", "topic": "Artist", "category": 3},
        {"input": "c", "output": "d"},
    ]
    fields = {**FIELDS, "context": "input", "completion": "output", "category": "topic"}
    rows = [Example("a", "b", "Artist"), Example("c", "d")]
    assert read_jsonl(write("t.json", json.dumps(records, indent=1)), fields) == rows
    assert read_jsonl(write("t.jsonl", "\n".join(map(json.dumps, records))), fields) == rows


def test_a_list_of_completions_gives_a_row_each_and_a_list_of_ids_is_one(write):
    lines = [
        '{"context": "a", "completion": ["b", "c"], "cate": true}',
        '{"context": "d", "completion": [[5, 0], "e"]}',
        '{"context": "f", "completion": [5, 0]}',
    ]
    assert read_jsonl(write("train.jsonl", "\n".join(lines))) == [
        Example("a", "b", seen=True),
        Example("a", "c", seen=True),
        Example("d", (5, 0)),
        Example("d", "e"),
        Example("f", (5, 0)),
    ]


def test_tables_give_a_row_each_by_the_names_of_their_columns(write):
    columns = {**COLUMNS, "context": "mr", "completion": "ref"}
    content = '\ufeffid,mr,ref,cate\r\n1,"name[A], b[c]","A ""x"", b.",true\r\n2,d,,\r\n'
    assert read_csv(write("t.csv", content), columns) == [
        Example("name[A], b[c]", 'A "x", b.', seen=True),
        Example("d", ""),
    ]


def test_line_separators_within_a_line_are_text(write):
    text = "a\u2028b\x0cc\x85d"
    example = [Example(text, text)]
    assert read_e2e(write("train.txt", f"{text}||{text}\n")) == example
    assert read_jsonl(write("t.jsonl", f'{{"context": "{text}", "completion": "{text}"}}'
                            .replace("\x0c", "\\f"))) == example  # fmt: skip
    assert read_csv(write("t.tsv", f"context\tcompletion\n{text}\t{text}\n")) == example


def test_a_byte_order_mark_is_no_part_of_the_first_context(write):
    assert read_e2e(write("train.txt", "\ufeffa||b\n")) == [Example("a", "b")]
    line = '{"context": "a", "completion": "b"}'
    assert read_jsonl(write("t.jsonl", "\ufeff" + line)) == [Example("a", "b")]
    assert read_jsonl(write("t.json", f"\ufeff[{line}]")) == [Example("a", "b")]
    assert len(read_dart(write("t.json", "\ufeff" + json.dumps([dart_entry()])))) == 1


def test_packed_files_are_read_as_plain_ones(tmp_path):
    path = tmp_path / "train.txt.gz"
    path.write_bytes(gzip.compress(b"a||b\n"))
    assert read_e2e(path) == [Example("a", "b")]


@pytest.mark.parametrize("line", ["no bars", "", "three||parts||here"])
def test_a_malformed_e2e_line_is_named(write, line):
    with pytest.raises(InputError, match=r"train\.txt:2: "):
        read_e2e(write("train.txt", f"a||b\n{line}\nc||d\n"))


@pytest.mark.parametrize(
    ("read", "content", "message"),
    [
        (read_webnlg, '{"entries":\n [', r":2: no JSON"),
        (read_webnlg, [], r"must be an object, found \[\]"),
        (read_webnlg, {"entries": {}}, "'entries': must be a list"),
        (read_webnlg, {"entries": [webnlg_entry(), webnlg_entry("7")]}, "entry 2: no '2'"),
        (read_webnlg, {"entries": [webnlg_entry(triples=["x"])]}, 'entry 1: triple: .*"x"'),
        (read_webnlg, {"entries": [webnlg_entry(triples=[{}])]}, "entry 1: no 'subject'"),
        (read_webnlg, {"entries": [webnlg_entry(texts=[("good", 3)])]}, "'lex': must be a text"),
        (read_webnlg, {"entries": [webnlg_entry(category=None)]}, "'category': must be a text"),
        (read_dart, {"a": 1}, "must be a list"),
        (read_dart, [dart_entry(), {"tripleset": []}], "entry 2: no 'annotations'"),
        (read_dart, [dart_entry([("a", "b")])], "entry 1: a triple has three parts, found 2"),
        (read_dart, [dart_entry([("a", 2, "c")])], "entry 1: part of a triple: must be a text"),
        (read_jsonl, '{"context": "a"}', r":1: no 'completion'"),
        (read_jsonl, '{"context": "a", "completion": "b"}\n{"context', r":2: no JSON"),
        (read_jsonl, '["context"]', "entry 1: must be an object"),
        (read_jsonl, '{"context": 3, "completion": "b"}', ":1: 'context' must be a text or a list"),
        (read_jsonl, '{"context": [1, true], "completion": "b"}', "must be an integer, found true"),
        (read_jsonl, '{"context": [1, 2.0], "completion": "b"}', "must be an integer, found 2.0"),
        (read_jsonl, '{"context": [-1], "completion": "b"}', "negative token id -1"),
        (read_jsonl, '{"context": [], "completion": "b"}', "'context' has no token id"),
        (read_jsonl, '{"context": "a", "completion": "b", "cate": 1}', "must be true or false"),
        (read_jsonl, '{"context": "\\ud800", "completion": "b"}', "half a surrogate pair"),
        (read_jsonl, '[{"context": "a", "completion": "b"},\n{"context"]', ":2: no JSON"),
        (read_jsonl, [{"context": "a", "completion": "b"}, {}], "entry 2: no 'context'"),
        (read_jsonl, {"context": "a", "completion": ["b", 3]}, r"'completion\[1\]' must be a text"),
        (read_jsonl, {"context": "a", "completion": {}}, "'completion' must be a text or a list"),
        (read_csv, "mr,ref\na,b\n", r":1: no column 'context' .*'mr', 'ref'.*data.columns={cont"),
        (read_csv, "context,ref\na,b\n", ":1: no column 'completion'"),
        (
            read_csv,
            "context,completion,context\na,b,c\n",
            ":1: the column 'context' is there twice",
        ),
        (read_csv, "context,completion\na\n", ":2: 1 cells, but the first row has 2"),
        (read_csv, "context,completion,cate\na,b,maybe\n", ":2: cate must be true, false"),
    ],
)
def test_a_malformed_record_is_named(write, read, content, message):
    with pytest.raises(InputError, match=message):
        read(write("file.json", content))


@pytest.mark.parametrize(
    ("read", "empty"),
    [
        (read_e2e, ""),
        (read_csv, "context,completion\n"),
        (read_jsonl, "[]"),
        (read_jsonl, "\n"),
        (read_dart, "[]"),
        (read_dart, json.dumps([dart_entry(texts=[])])),
        (read_webnlg, json.dumps({"entries": []})),
        (read_webnlg, json.dumps({"entries": [webnlg_entry(texts=[("toFix", "No.")])]})),
    ],
)
def test_a_file_without_rows_is_an_error(write, read, empty):
    with pytest.raises(InputError, match="empty dataset"):
        read(write("file", empty))


@pytest.mark.parametrize("read", [read_e2e, read_webnlg, read_dart, read_jsonl, read_csv])
def test_missing_files_folders_and_other_encodings_are_errors(tmp_path, read):
    with pytest.raises(InputError, match="no such file"):
        read(tmp_path / "absent")
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path)
    (tmp_path / "latin").write_bytes("a||b\n{é".encode("latin-1"))
    with pytest.raises(InputError, match="latin:2: not UTF-8"):
        read(tmp_path / "latin")


@pytest.mark.parametrize(
    ("read", "file", "rows", "contexts"),
    [
        (read_e2e, "e2e/train.txt.gz", 42061, 4862),
        (read_e2e, "e2e/valid.txt", 4672, 547),
        (read_e2e, "e2e/test.txt", 4693, 630),
        (read_webnlg, "webnlg_challenge_2017/train.json.gz", 18025, None),
        (read_webnlg, "webnlg_challenge_2017/dev.json", 2258, None),
        (read_webnlg, "webnlg_challenge_2017/test.json.gz", 4928, None),
        (read_dart, "dart/dart-v1.1.1-full-dev.json", 6980, None),
        (read_dart, "dart/dart-v1.1.1-full-test.json.gz", 12552, 4159),
        (read_dart, "dart/dart-v1.1.1-partial-train.json.gz", 51584, None),
    ],
)
def test_the_real_files_have_the_known_numbers_of_rows_and_contexts(read, file, rows, contexts):
    examples = read(shared("data", file))
    assert len(examples) == rows
    if contexts is not None:
        assert len({example.context for example in examples}) == contexts
