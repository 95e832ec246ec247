"""Every context exactly once, in order, whatever ranks and restarts do."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lora_lightning.decoding.writer import (
    ShardWriter,
    finished_records,
    merge_shards,
    read_predictions,
    remove_shards,
)
from lora_lightning.errors import InputError


def record(record_id):
    return {"id": record_id, "context": f"name : {record_id}", "text": "Ünïcode \u2028 text"}


def write(folder, rank, ids, key="settings"):
    writer = ShardWriter(folder, rank, key)
    for record_id in ids:
        writer.write(record(record_id))
    writer.close()


def shard(folder, rank):
    return folder / "shards" / f"rank_{rank}.jsonl"


@pytest.mark.parametrize("shares", [[[0, 7, 3]], [[3], [], [0, 7]], [[], []]])
def test_shards_of_any_number_of_ranks_merge_in_the_asked_order(tmp_path, shares):
    for rank, ids in enumerate(shares):
        write(tmp_path, rank, ids)
    ids = sorted(record_id for share in shares for record_id in share)

    path = merge_shards(tmp_path, ids)

    assert path == tmp_path / "predictions.jsonl"
    assert read_predictions(path) == [record(record_id) for record_id in ids]
    remove_shards(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["predictions.jsonl"]


def test_a_record_is_on_disk_as_soon_as_it_is_written(tmp_path):
    writer = ShardWriter(tmp_path, 0, "settings")
    writer.write(record(5))
    assert list(finished_records(tmp_path, "settings")) == [5]
    writer.close()


@pytest.mark.parametrize("torn", range(1, 40, 7))
def test_a_restart_goes_on_where_a_killed_run_was(tmp_path, torn):
    write(tmp_path, 0, [0, 1])
    write(tmp_path, 1, [2, 3])
    content = shard(tmp_path, 1).read_bytes()
    shard(tmp_path, 1).write_bytes(content[:-torn])

    done = finished_records(tmp_path, "settings")
    assert set(done) == {0, 1, 2}
    write(tmp_path, 1, [3])

    merged = read_predictions(merge_shards(tmp_path, [0, 1, 2, 3]))
    assert [entry["id"] for entry in merged] == [0, 1, 2, 3]


def test_a_run_killed_while_it_opened_its_shard_can_be_continued(tmp_path):
    write(tmp_path, 0, [])
    shard(tmp_path, 0).write_bytes(b'{"sett')
    assert finished_records(tmp_path, "settings") == {}
    write(tmp_path, 0, [1])
    assert list(finished_records(tmp_path, "settings")) == [1]


def test_a_restart_with_fewer_ranks_keeps_the_shards_of_the_others(tmp_path):
    write(tmp_path, 0, [0])
    write(tmp_path, 3, [1])
    write(tmp_path, 0, [2])
    assert len(read_predictions(merge_shards(tmp_path, [0, 1, 2]))) == 3


def test_nothing_is_finished_in_a_new_folder(tmp_path):
    assert finished_records(tmp_path / "new", "settings") == {}


def test_shards_of_other_settings_are_not_continued(tmp_path):
    write(tmp_path, 0, [0], key="beam 10")
    with pytest.raises(InputError, match=r"other settings.*overwrite=true"):
        finished_records(tmp_path, "beam 4")


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ([[0], [1]], r"1 of 3 predictions are missing .*\(ids 2\)"),
        ([[0, 1, 2, "x"]], r"not asked for \(ids 'x'\)"),
    ],
)
def test_a_merge_refuses_missing_and_surplus_records_and_keeps_the_shards(
    tmp_path, shares, message
):
    for rank, ids in enumerate(shares):
        write(tmp_path, rank, ids)
    with pytest.raises(InputError, match=message):
        merge_shards(tmp_path, [0, 1, 2])
    assert shard(tmp_path, 0).exists()
    assert not (tmp_path / "predictions.jsonl").exists()


def test_a_record_that_two_processes_wrote_alike_is_taken_once_with_a_note(tmp_path, caplog):
    write(tmp_path, 0, [0, 1])
    write(tmp_path, 1, [1, 2])
    assert list(finished_records(tmp_path, "settings")) == [0, 1, 2]
    with caplog.at_level("INFO"):
        merged = read_predictions(merge_shards(tmp_path, [0, 1, 2]))
    assert merged == [record(0), record(1), record(2)]
    assert "1 predictions that were written twice" in caplog.text


def test_two_different_records_of_one_id_are_an_error_that_keeps_both_shards(tmp_path):
    write(tmp_path, 0, [0, 1])
    other = ShardWriter(tmp_path, 1, "settings")
    other.write(record(1) | {"text": "another"})
    other.close()
    for read in (lambda: merge_shards(tmp_path, [0, 1]),
                 lambda: finished_records(tmp_path, "settings")):  # fmt: skip
        with pytest.raises(InputError, match=r"rank_1.* id 1 is another one than in .*rank_0"):
            read()
    assert shard(tmp_path, 0).exists()
    assert shard(tmp_path, 1).exists()


def test_shards_that_were_removed_meanwhile_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="removed meanwhile"):
        merge_shards(tmp_path / "gone", [])


def test_a_malformed_line_inside_a_shard_is_named(tmp_path):
    write(tmp_path, 0, [0])
    with shard(tmp_path, 0).open("a") as file:
        file.write('{"id": 1, \n{"id": 2}\n')
    with pytest.raises(InputError, match=r"rank_0\.jsonl:3"):
        finished_records(tmp_path, "settings")
    with pytest.raises(InputError, match=r"rank_0\.jsonl:3"):
        merge_shards(tmp_path, [0, 2])


@settings(deadline=None, max_examples=100)
@given(share=st.floats(0, 1), noise=st.binary(min_size=16, max_size=16))
def test_sixteen_bytes_of_a_shard_overwritten_never_make_another_record(share, noise):
    with TemporaryDirectory() as folder:
        write(Path(folder), 0, [0, 1, 2])
        path = shard(Path(folder), 0)
        whole = path.read_bytes()
        place = round(share * (len(whole) - 16))
        path.write_bytes(whole[:place] + noise + whole[place + 16 :])
        try:
            found = finished_records(Path(folder), "settings")
        except InputError as error:
            assert str(path.parent) in str(error)  # noqa: PT017
        else:
            assert all(found[record_id] == record(record_id) for record_id in found)


def test_a_damaged_record_is_decoded_again_once_its_line_is_removed(tmp_path):
    write(tmp_path, 0, [0, 1])
    content = shard(tmp_path, 0).read_text(encoding="utf-8")
    shard(tmp_path, 0).write_text(content.replace("name : 1", "name : 7"), encoding="utf-8")
    with pytest.raises(InputError, match=r"rank_0\.jsonl:3: damaged.*remove the line"):
        finished_records(tmp_path, "settings")
    shard(tmp_path, 0).write_text("\n".join(content.split("\n")[:2]) + "\n", "utf-8")
    assert list(finished_records(tmp_path, "settings")) == [0]


def test_a_shard_of_an_earlier_version_without_checksums_is_continued(tmp_path):
    write(tmp_path, 0, [])
    lines = [{"settings": "settings"}, record(0)]
    shard(tmp_path, 0).write_text("".join(json.dumps(line) + "\n" for line in lines))
    write(tmp_path, 0, [1])
    assert finished_records(tmp_path, "settings") == {0: record(0), 1: record(1)}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"context": "c", "text": "t"}', "id is missing"),
        ('{"id": 1.5, "context": "c", "text": "t"}', "id is missing or of a wrong type"),
        ('{"id": true, "context": "c", "text": "t"}', "id is missing or of a wrong type"),
        ('{"id": 1, "context": "c"}', "text is missing"),
        ('{"id": 1, "text": "t"}', "context is missing"),
        ('{"id": 0, "context": "c", "text": "t"}', "id 0 is there twice, first on line 1"),
        ('["id"]', "expected an object"),
        ('{"id": 1, ', "no JSON"),
    ],
)
def test_reading_predictions_names_file_and_line_of_what_is_wrong(tmp_path, line, message):
    path = tmp_path / "predictions.jsonl"
    path.write_text(json.dumps(record(0)) + "\n" + line + "\n")
    with pytest.raises(InputError, match=rf"predictions\.jsonl:2: .*{message}"):
        read_predictions(path)


def test_reading_predictions_that_are_not_there_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_predictions(tmp_path / "predictions.jsonl")
