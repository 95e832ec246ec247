"""`generate.py -m … hydra/launcher=one_pass`, and what a training's `then` decodes in its pass."""

import json

import pytest

from lora_lightning.decoding import writer
from tests.commands import run_command
from tests.one_pass.test_launcher import ONE_PASS, files_of
from tests.tiny import DECODING, TRAINING, read_rows

RUNS = 2


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A sweep whose jobs have decoded what they trained, all in one pass."""
    folder = tmp_path_factory.mktemp("trained") / "sweep"
    run_command("train", "-m", *TRAINING, *DECODING, "then=[generate]", "method.rank=2,4",
                "optimizer.lr=1e-2", ONE_PASS, f"output_dir={folder}")  # fmt: skip
    return folder


def generate(trained, output, *further):
    runs = ",".join(str(trained / str(number)) for number in range(RUNS))
    run_command("generate", "-m", f"run={runs}", *DECODING, "trainer=cpu", f"output_dir={output}",
                "hydra.sweep.subdir=${hydra.job.num}", *further)  # fmt: skip


@pytest.fixture(scope="module")
def alone(trained, tmp_path_factory):
    """What separate decodings give."""
    folder = tmp_path_factory.mktemp("alone") / "sweep"
    generate(trained, folder)
    return folder


def check_predictions(folder, expected):
    for record, other in zip(*(read_rows(f / "predictions.jsonl") for f in (folder, expected)),
                             strict=True):  # fmt: skip
        for one, same in zip(record["hypotheses"], other["hypotheses"], strict=True):
            assert one["score"] == pytest.approx(same["score"], abs=1e-4)
            assert (one["tokens"], one["text"]) == (same["tokens"], same["text"])
        assert (record["id"], record["context"]) == (other["id"], other["context"])
    manifest, other = (json.loads((f / "manifest.json").read_text()) for f in (folder, expected))
    assert manifest.keys() == other.keys()
    for key in ("settings", "counts", "checksums"):
        assert manifest[key] == other[key]


def test_a_sweep_of_runs_has_the_files_and_texts_of_separate_decodings(trained, alone, tmp_path):
    generate(trained, tmp_path / "sweep", ONE_PASS)
    for number in map(str, range(RUNS)):
        assert files_of(tmp_path / "sweep" / number) == files_of(alone / number)
        check_predictions(tmp_path / "sweep" / number, alone / number)


def test_jobs_of_a_training_pass_decode_as_their_runs_do(trained, alone):
    for number in map(str, range(RUNS)):
        of_run = trained / number / "predictions" / "test"
        rows, expected = (read_rows(f / "predictions.jsonl") for f in (of_run, alone / number))
        assert [row["tokens"] for row in rows] == [row["tokens"] for row in expected]


@pytest.mark.long
def test_a_pass_that_was_cut_short_goes_on_with_the_texts_it_has(trained, alone, tmp_path):
    class Crash(BaseException):
        pass

    decoded = []
    write = writer.ShardWriter.write

    def counted(self, record):
        if "id" in record:
            decoded.append(record["id"])
        if len(decoded) == 4:
            raise Crash
        write(self, record)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer.ShardWriter, "write", counted)
        with pytest.raises(Crash):
            generate(trained, tmp_path / "sweep", ONE_PASS)
        generate(trained, tmp_path / "sweep", ONE_PASS)
    assert len(decoded) == 1 + sum(len(read_rows(alone / str(n) / "predictions.jsonl"))
                                   for n in range(RUNS))  # fmt: skip
    for number in map(str, range(RUNS)):
        check_predictions(tmp_path / "sweep" / number, alone / number)
