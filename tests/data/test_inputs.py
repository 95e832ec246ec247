"""Contexts from elsewhere: text files, JSON lines, standard input; ids are kept as given."""

import io
import sys
from types import SimpleNamespace

import pytest

from lora_lightning.data.inputs import Input, read_inputs
from lora_lightning.errors import InputError


def test_a_text_file_gives_one_context_a_line_numbered_from_0(write):
    path = write("in.txt", "name : A \r\n\nname : A \n")
    assert read_inputs(path) == [Input(0, "name : A "), Input(1, ""), Input(2, "name : A ")]


def test_json_lines_keep_their_ids_in_their_order(write):
    lines = [
        '{"id": 7, "context": "a"}',
        "",
        '{"id": "7", "context": "a"}',
        '{"id": -1, "context": [4, 2]}',
    ]
    assert read_inputs(write("in.jsonl", "\n".join(lines))) == [
        Input(7, "a"),
        Input("7", "a"),
        Input(-1, (4, 2)),
    ]


def test_lines_of_json_without_ids_are_numbered_as_those_of_text_are(write):
    lines = '{"context": "a"}\n\n{"context": "b"}\n'
    assert read_inputs(write("in.jsonl", lines)) == [Input(0, "a"), Input(1, "b")]
    records = '[{"context": "a"},\n {"context": "b"}]'
    assert read_inputs(write("in.json", records)) == [Input(0, "a"), Input(1, "b")]


def test_own_names_of_fields_go_for_inputs_too_and_the_usual_ones_stay(write):
    path = write("in.jsonl", '{"key": "x", "mr": "a", "context": 3}\n{"id": 0, "context": "b"}')
    assert read_inputs(path, context="mr", id="key") == [Input("x", "a"), Input(0, "b")]


def test_a_byte_order_mark_is_no_part_of_the_first_context(write, monkeypatch):
    text = "\ufeffname : A\r\nname : B\r\n"
    expected = [Input(0, "name : A"), Input(1, "name : B")]
    assert read_inputs(write("in.txt", text)) == expected
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(text.encode())))
    assert read_inputs("-") == expected
    monkeypatch.setattr(
        sys, "stdin", SimpleNamespace(buffer=io.BytesIO('\ufeff{"context": "a"}'.encode()))
    )
    assert read_inputs("-") == [Input(0, "a")]


@pytest.mark.parametrize(
    ("text", "inputs"),
    [
        ("a\nb\n", [Input(0, "a"), Input(1, "b")]),
        ('\n{"id": 3, "context": "a"}\n', [Input(3, "a")]),
    ],
)
def test_standard_input_is_text_unless_it_begins_with_a_brace(monkeypatch, text, inputs):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(text.encode())))
    assert read_inputs("-") == inputs


@pytest.mark.parametrize("name", ["in.txt", "in.jsonl"])
def test_an_empty_file_gives_no_context(write, name):
    assert read_inputs(write(name, "")) == []


def test_empty_standard_input_gives_no_context(monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"")))
    assert read_inputs("-") == []


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('{"id": 1, "context": "a"}\n{"context": "b"}', r"in\.jsonl:2: no 'id'"),
        ('{"id": 1}', r"in\.jsonl:1: no 'context'"),
        ('{"id": 1, "context": "a"}\n\n{"id": 1, "context": "b"}', r":3: id 1 .*in\.jsonl:1"),
        ('{"id": true, "context": "a"}', "'id' must be an integer or a text, found True"),
        ('{"id": 1.5, "context": "a"}', "'id' must be an integer or a text"),
        ('{"id": 1, "context": []}', "no token id"),
        ("name : A", r"in\.jsonl:1: no JSON"),
    ],
)
def test_a_malformed_line_is_named(write, lines, message):
    with pytest.raises(InputError, match=message):
        read_inputs(write("in.jsonl", lines))


def test_an_unknown_kind_of_file_is_an_error(write):
    with pytest.raises(InputError, match=r"in\.csv: unknown kind of file; give \.txt"):
        read_inputs(write("in.csv", "a"))


def test_standard_input_must_be_utf8(monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"\xff")))
    with pytest.raises(InputError, match="standard input:1: not UTF-8"):
        read_inputs("-")
