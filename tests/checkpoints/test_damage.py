"""A damaged checkpoint is never taken for good; the one before it takes its place."""

import shutil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lora_lightning.checkpoints.files import AtomicCheckpoints, read_checkpoint
from lora_lightning.errors import InputError
from tests.checkpoints.interrupted_runs import Crash, assert_same_run, crash, interrupted
from tests.commands import error_of, run_command
from tests.tiny import write_rows

CONTENT = {"state_dict": {"lora_A": torch.arange(12.0)}, "update": 3}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoints") / "last.ckpt"
    AtomicCheckpoints().save_checkpoint(CONTENT, path)
    return path


def assert_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"{path}: ") as raised:
        read_checkpoint(path)
    assert "\n" not in str(raised.value)


@settings(deadline=None, max_examples=200)
@given(share=st.floats(0, 1), noise=st.binary(min_size=16, max_size=16))
def test_sixteen_bytes_overwritten_anywhere_are_noticed(share, noise, checkpoint):
    whole = checkpoint.read_bytes()
    place = round(share * (len(whole) - 16))
    damaged = whole[:place] + noise + whole[place + 16 :]
    if damaged != whole:
        assert_refused(checkpoint.with_name("damaged.ckpt"), damaged)


@pytest.mark.parametrize("noise", [b"\0" * 16, b"\xff" * 16])
def test_the_end_that_holds_the_checksum_can_be_damaged_at_no_place(noise, checkpoint):
    whole = checkpoint.read_bytes()
    for place in range(len(whole) - 150, len(whole) - 15):
        damaged = whole[:place] + noise + whole[place + 16 :]
        assert_refused(checkpoint.with_name("damaged.ckpt"), damaged)


@settings(deadline=None, max_examples=50)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_checkpoint_cut_off_anywhere_is_refused(share, checkpoint):
    whole = checkpoint.read_bytes()
    assert_refused(checkpoint.with_name("cut.ckpt"), whole[: int(share * len(whole))])


def test_torch_reads_a_checkpoint_as_before(checkpoint):
    assert torch.load(checkpoint, weights_only=True)["update"] == 3


def test_a_checkpoint_without_a_checksum_is_read(tmp_path):
    torch.save(CONTENT, tmp_path / "last.ckpt")
    assert read_checkpoint(tmp_path / "last.ckpt")["update"] == 3


@pytest.mark.parametrize("content", [b"", b"text\n", b"\x80\x02}q\x00."])
def test_a_file_that_is_no_checkpoint_is_refused(content, tmp_path):
    assert_refused(tmp_path / "last.ckpt", content)


def test_the_last_two_are_kept_also_without_hard_links(tmp_path, monkeypatch):
    def no_link(*_, **__):
        raise OSError("not supported")

    for update in (1, 2, 3):
        AtomicCheckpoints().save_checkpoint({"update": update}, tmp_path / "last.ckpt")
        if update == 2:
            monkeypatch.setattr("os.link", no_link)
    kept = {path.name: read_checkpoint(path)["update"] for path in tmp_path.iterdir()}
    assert kept == {"last.ckpt": 3, "last-previous.ckpt": 2}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    rows = [{"context": f"name : {chr(65 + i)}", "completion": f"{i} eats."} for i in range(34)]
    write_rows(folder / "train.jsonl", rows)
    write_rows(folder / "valid.jsonl", rows[:7])
    return [f"data.{split}={folder}/{split}.jsonl" for split in ("train", "valid")]


@pytest.fixture(scope="module")
def crashed(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "crashed"
    interrupted(folder, data, 18, crash)
    return folder


@pytest.fixture
def run(crashed, tmp_path):
    return shutil.copytree(crashed, tmp_path / "run")


def damage(path):
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"sixteen bytes of")


def test_a_run_with_a_damaged_last_checkpoint_goes_on_from_the_one_before_to_the_same_end(
    run, crashed, tmp_path, capsys
):
    expected = shutil.copytree(crashed, tmp_path / "expected")
    damage(run / "checkpoints" / "last.ckpt")
    run_command("train", f"resume={expected}")
    run_command("train", f"resume={run}")
    [said] = [line for line in capsys.readouterr().out.splitlines() if "checksum" in line]
    assert "last.ckpt: damaged" in said
    assert "going on from checkpoints/last-previous.ckpt, after update " in said
    assert_same_run(run, expected)


def test_a_run_that_went_on_from_the_one_before_and_was_killed_at_once_can_go_on(run, data):
    damage(run / "checkpoints" / "last.ckpt")
    before = read_checkpoint(run / "checkpoints" / "last-previous.ckpt")["update"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lora_lightning.tasks.train.fit", lambda *_: crash())
        with pytest.raises(Crash):
            run_command("train", f"resume={run}")
    assert read_checkpoint(run / "checkpoints" / "last.ckpt")["update"] == before


def test_where_both_are_damaged_the_run_is_refused_with_one_line(run):
    for name in ("last.ckpt", "last-previous.ckpt"):
        damage(run / "checkpoints" / name)
    error = error_of("train", f"resume={run}")
    assert "checkpoints/last.ckpt: damaged" in error
    assert "train anew" in error


def test_dry_run_says_how_many_checkpoints_are_kept(data, tmp_path, capsys):
    run_command("train", "trainer=cpu", "data=jsonl", *data, "dry_run=true")
    assert "MB, 3 are kept" in capsys.readouterr().out
