"""Encoded data is kept for the next run, and never stands for other data."""

import multiprocessing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lora_lightning.data.batches import Batches
from lora_lightning.data.cache import cache_key
from lora_lightning.data.encoded_rows import EncodedRows
from lora_lightning.data.encoding import EncodedExample
from lora_lightning.data.sets.e2e import E2EDataModule
from lora_lightning.data.sets.webnlg import WebNLGDataModule
from lora_lightning.data.tokenizer import load_tokenizer
from tests.data.conftest import write_tokenizer

IDS = st.lists(st.integers(0, 50256), max_size=5)


@pytest.fixture
def make(tmp_path, tokenizer):
    (tmp_path / "train.txt").write_text("a||one\nb||two\na||three\n")

    def make_module(cache="cache") -> Batches:
        cache_dir = None if cache is None else tmp_path / cache
        return Batches(E2EDataModule(dir=tmp_path, cache_dir=cache_dir), tokenizer, seed=0)

    return make_module


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(IDS, IDS), max_size=5))
def test_joined_rows_are_the_rows(pairs):
    examples = [EncodedExample(*pair) for pair in pairs]
    rows = EncodedRows.join(examples)
    assert list(rows) == examples
    assert rows[1:] == examples[1:]
    assert rows.lengths == [example.length for example in examples]


def test_a_second_run_reads_no_raw_rows_and_has_the_same(make, monkeypatch):
    uncached = make(cache=None).encoded("train")
    first = make()
    assert list(first.encoded("train")) == list(uncached)
    monkeypatch.setattr(E2EDataModule, "read", None)
    second = make()
    assert list(second.encoded("train")) == list(uncached)
    assert second.lengths("train") == first.lengths("train")
    assert second.rows.checksums() == first.rows.checksums()


def test_without_a_cache_nothing_is_written(make, tmp_path):
    make(cache=None).encoded("train")
    assert [path.name for path in tmp_path.iterdir()] == ["train.txt"]


def test_changed_data_is_encoded_anew(make, tmp_path):
    make().encoded("train")
    (tmp_path / "train.txt").write_text("c||four\n")
    assert len(make().encoded("train")) == 1


def test_the_key_depends_on_all_that_decides_the_rows(tokenizer, tmp_path):
    other = load_tokenizer(write_tokenizer(tmp_path, ["<|endoftext|>"]))
    keys = {
        cache_key("a", E2EDataModule, tokenizer, None),
        cache_key("b", E2EDataModule, tokenizer, None),
        cache_key("a", WebNLGDataModule, tokenizer, None),
        cache_key("a", E2EDataModule, other, None),
        cache_key("a", E2EDataModule, tokenizer, 5),
    }
    assert len(keys) == 5
    assert cache_key("a", E2EDataModule, tokenizer, None) in keys


@pytest.mark.parametrize(
    "damage",
    [lambda content: content[:-5], lambda content: content[:-1] + b"\xff", lambda content: b""],
    ids=["cut off", "another byte", "empty"],
)
def test_a_broken_file_is_written_anew_with_a_line(damage, make, tmp_path, caplog):
    expected = list(make().encoded("train"))
    [file] = (tmp_path / "cache").iterdir()
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    assert list(make().encoded("train")) == expected
    assert f"{file}: broken" in caplog.text
    assert file.read_bytes() == whole


def test_a_folder_that_cannot_be_written_costs_a_line_and_no_run(make, tmp_path, caplog):
    (tmp_path / "cache").write_text("no folder")
    assert len(make().encoded("train")) == 3
    assert "data.cache_dir=null" in caplog.text


def test_processes_that_encode_at_once_leave_one_whole_file(make, tmp_path):
    fork = multiprocessing.get_context("fork")
    workers = [fork.Process(target=lambda: make().encoded("train")) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert len(list((tmp_path / "cache").iterdir())) == 1
    assert list(make().encoded("train")) == list(make(cache=None).encoded("train"))
