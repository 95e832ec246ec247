"""Raw files become rows as in the reference; what is wrong in them is named with its place."""

import gzip
import json

import pytest

from lora_lightning.data.example import Example
from lora_lightning.data.sets.dart import read_dart
from lora_lightning.data.sets.e2e import read_e2e
from lora_lightning.data.sets.jsonl import read_jsonl
from lora_lightning.data.sets.webnlg import read_webnlg
from lora_lightning.errors import InputError
from tests.goldens import shared

TRIPLE = {"subject": "Aarhus", "property": "leaderName", "object": "Jacob"}


def webnlg_entry(key="1", category="Airport", triples=(TRIPLE,), texts=(("good", "A text."),)):
    lexicalisations = [{"comment": comment, "lex": text} for comment, text in texts]
    content = {"category": category, "modifiedtripleset": list(triples)}
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


def test_dart_lowers_the_relation_and_keeps_empty_texts(write):
    entries = [dart_entry([("A", "B C", "D"), ("E", "F", "G")], ["One.", ""]), dart_entry(texts=[])]
    assert read_dart(write("dev.json", entries)) == [
        Example("A : b c : D | E : f : G", "One."),
        Example("A : b c : D | E : f : G", ""),
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
        (read_jsonl, '["context"]', ":1: must be an object"),
        (read_jsonl, '{"context": 3, "completion": "b"}', ":1: 'context' must be a text or a list"),
        (read_jsonl, '{"context": [1, true], "completion": "b"}', "must be an integer, found true"),
        (read_jsonl, '{"context": [1, 2.0], "completion": "b"}', "must be an integer, found 2.0"),
        (read_jsonl, '{"context": [-1], "completion": "b"}', "negative token id -1"),
        (read_jsonl, '{"context": [], "completion": "b"}', "'context' has no token id"),
        (read_jsonl, '{"context": "a", "completion": "b", "cate": 1}', "must be true or false"),
        (read_jsonl, '{"context": "\\ud800", "completion": "b"}', "half a surrogate pair"),
    ],
)
def test_a_malformed_record_is_named(write, read, content, message):
    with pytest.raises(InputError, match=message):
        read(write("file.json", content))


@pytest.mark.parametrize(
    ("read", "empty"),
    [
        (read_e2e, ""),
        (read_jsonl, "\n"),
        (read_dart, "[]"),
        (read_dart, json.dumps([dart_entry(texts=[])])),
        (read_webnlg, json.dumps({"entries": [webnlg_entry(texts=[("toFix", "No.")])]})),
    ],
)
def test_a_file_without_rows_is_an_error(write, read, empty):
    with pytest.raises(InputError, match="empty dataset"):
        read(write("file", empty))


@pytest.mark.parametrize("read", [read_e2e, read_webnlg, read_dart, read_jsonl])
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
