"""The reference's JSON lines, byte for byte, from one command."""

import gzip
import hashlib
import io
import json
import runpy
import sys

import pytest

from lora_lightning.data.example import Example
from lora_lightning.data.export import export_examples, main
from lora_lightning.data.sets.dart import read_dart
from lora_lightning.data.sets.e2e import read_e2e
from lora_lightning.data.sets.webnlg import read_webnlg
from lora_lightning.data.tokenizer import load_tokenizer
from lora_lightning.errors import InputError
from tests.goldens import golden, shared

READERS = {
    "e2e": (read_e2e, "e2e/valid.txt"),
    "web": (read_webnlg, "webnlg_challenge_2017/dev.json"),
    "dart": (read_dart, "dart/dart-v1.1.1-full-dev.json"),
}


def export(examples, tokenizer, format):
    file = io.StringIO()
    export_examples(examples, tokenizer, format, file)
    return file.getvalue()


@pytest.mark.parametrize("name", READERS)
def test_the_validation_sets_equal_the_reference_byte_for_byte(name):
    read, raw = READERS[name]
    examples = read(shared("data", raw))
    gpt2 = load_tokenizer(shared("gpt2-vocab"))
    table = [line.split("\t") for line in golden("data", "checksums.tsv").read_text().splitlines()]
    sha256 = {file: (int(rows), digest) for file, rows, _, digest in table[1:]}
    for format, file in [
        ("tokens", f"{name}_valid.jsonl"),
        ("text", f"{name}_valid_formatted.jsonl"),
    ]:
        content = export(examples, gpt2, format).encode()
        assert content == gzip.decompress(golden("data", f"{file}.gz").read_bytes())
        assert (len(examples), hashlib.sha256(content).hexdigest()) == sha256[file]


def test_text_lines_escape_as_the_reference_does_and_name_seen_where_known(tokenizer):
    examples = [Example("é | a", "£ 20", "City", True), Example("b", "")]
    assert export(examples, tokenizer, "text") == (
        '{"context": "\\u00e9 | a", "completion": "\\u00a3 20", "cate": true}\n'
        '{"context": "b", "completion": ""}\n'
    )


def test_token_lines_hold_end_tokens_and_special_tokens_as_characters(tokenizer):
    [line] = export([Example("<|endoftext|>", "a")], tokenizer, "tokens").splitlines()
    row = json.loads(line)
    end = tokenizer.end_of_text
    assert row == {
        "context": [*tokenizer.encode("<|endoftext|>"), end],
        "completion": [*tokenizer.encode(" a"), end],
    }
    assert row["context"].count(end) == 1


def test_token_ids_are_written_as_the_text_they_stand_for(tokenizer):
    example = Example("Blue Spice", "is a pub .", seen=False)
    row = json.loads(export([example], tokenizer, "tokens"))
    ids = Example(tuple(row["context"]), tuple(row["completion"]), seen=False)
    assert export([ids], tokenizer, "text") == export([example], tokenizer, "text")


def test_an_unknown_format_is_an_error(tokenizer):
    with pytest.raises(InputError, match="format=csv: unknown; take one of tokens, text"):
        export([], tokenizer, "csv")


@pytest.fixture
def arguments(tmp_path, tokenizer_folder):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "test.txt").write_text("a||b\nc||d\n")
    return [
        "data=e2e",
        f"data.dir={tmp_path / 'raw'}",
        f"output={tmp_path / 'out.jsonl'}",
        f"model.tokenizer={tokenizer_folder}",
    ]


def test_the_command_writes_the_test_split_as_tokens_unless_told_otherwise(
    tmp_path, arguments, tokenizer
):
    main(arguments)
    expected = export([Example("a", "b"), Example("c", "d")], tokenizer, "tokens")
    assert (tmp_path / "out.jsonl").read_text() == expected
    main([*arguments, "format=text", "overwrite=true", "data.limit_test=1"])
    assert (tmp_path / "out.jsonl").read_text() == '{"context": "a", "completion": "b"}\n'


@pytest.mark.parametrize(
    ("name", "content", "settings"),
    [
        (
            "t.jsonl",
            '{"input": "a", "output": ["b", "c"]}',
            ["data=jsonl", "data.fields={context: input, completion: output}"],
        ),
        (
            "t.csv",
            'id,mr,ref\n1,a,b\n2,"a",c\n',
            ["data=csv", "data.columns={context: mr, completion: ref}"],
        ),
    ],
)
def test_own_data_with_names_of_its_own_is_written(tmp_path, arguments, name, content, settings):
    (tmp_path / name).write_text(content)
    [_, _, *shared_arguments] = arguments
    main([*settings, f"data.test={tmp_path / name}", *shared_arguments, "format=text"])
    assert (tmp_path / "out.jsonl").read_text() == (
        '{"context": "a", "completion": "b"}\n{"context": "a", "completion": "c"}\n'
    )


def test_an_existing_file_is_kept_unless_told_otherwise(tmp_path, arguments):
    (tmp_path / "out.jsonl").write_text("mine")
    with pytest.raises(InputError, match="exists; choose another or set overwrite=true"):
        main(arguments)
    assert (tmp_path / "out.jsonl").read_text() == "mine"


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["split=dev"], "split=dev: unknown"),
        (["format=csv"], "format=csv: unknown"),
        (["overwrite=maybe"], "overwrite=maybe"),
        (["data.nonsense=1"], "nonsense"),
        (["data=nonsense"], "nonsense"),
        (["nonsense"], "give key=value"),
        (["split=[a"], "split"),
        (["data.batch_size=0"], r"data\.batch_size=0"),
        (["split=valid"], r"valid\.txt: no such file"),
        (["model.tokenizer=tests"], "no tokenizer here"),
        (["output=null"], "output=<file> is missing"),
    ],
)
def test_a_wrong_argument_is_an_error_and_writes_nothing(tmp_path, arguments, extra, message):
    with pytest.raises(InputError, match=message):
        main([*arguments, *extra])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["raw"]


def test_as_a_command_an_error_is_one_line_and_exit_code_1(monkeypatch, tmp_path, arguments):
    (tmp_path / "out.jsonl").write_text("mine")
    monkeypatch.setattr(sys, "argv", ["export", *arguments])
    monkeypatch.delitem(sys.modules, "lora_lightning.data.export")
    # A text as the exit code is printed, and the code is then 1.
    with pytest.raises(SystemExit, match=r"^error: output=\S+: exists"):
        runpy.run_module("lora_lightning.data.export", run_name="__main__")
