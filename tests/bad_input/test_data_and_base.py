"""Bad input is one clear error; nothing is written, nothing is lost."""

import json
import shutil

import pytest

from tests.commands import error_of, run_command
from tests.goldens import ROOT
from tests.tiny import DECODING, TRAINING, read_rows, write_rows

BASE = ROOT / "data" / "sample" / "gpt2_tiny"
ROW = {"context": "name : X", "completion": "X ."}


def train_error(tmp_path, *overrides):
    error = error_of("train", *TRAINING, f"output_dir={tmp_path / 'run'}", *overrides)
    assert not (tmp_path / "run" / "run.json").exists()
    return error


def test_a_missing_data_folder_is_named(tmp_path):
    error = train_error(tmp_path, "data=e2e", f"data.dir={tmp_path / 'absent'}")
    assert "absent" in error


def test_a_malformed_line_is_named_with_its_number(tmp_path):
    (tmp_path / "train.txt").write_text("name : A||A .\nno separator here\n")
    error = train_error(tmp_path, "data=e2e", f"data.dir={tmp_path}")
    assert "train.txt:2" in error


def test_text_that_is_not_utf_8_is_named(tmp_path):
    (tmp_path / "train.txt").write_bytes(b"name : A||A .\nname : \xff||B .\n")
    assert "train.txt:2" in train_error(tmp_path, "data=e2e", f"data.dir={tmp_path}")


def test_an_empty_data_set_is_an_error(tmp_path):
    (tmp_path / "train.txt").write_text("")
    assert "train.txt" in train_error(tmp_path, "data=e2e", f"data.dir={tmp_path}")


def test_own_data_needs_the_file_that_is_read(tmp_path):
    assert "data.train" in train_error(tmp_path, "data=jsonl")


def test_a_step_without_any_label_is_an_error(tmp_path):
    row = {"context": "name : " + "word " * 30, "completion": "X ."}
    rows = write_rows(tmp_path / "rows.jsonl", [row] * 8)
    error = train_error(
        tmp_path, "data=jsonl", f"data.train={rows}", f"data.valid={rows}", "data.max_length=16"
    )
    assert "data.max_length" in error


def test_a_missing_base_says_where_to_put_one(tmp_path):
    error = train_error(tmp_path, f"model.path={tmp_path / 'absent'}", f"model.tokenizer={BASE}")
    assert "absent" in error
    assert "model.path" in error


def test_truncated_weights_are_named(tmp_path):
    base = shutil.copytree(BASE, tmp_path / "base")
    weights = base / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    assert "model.safetensors" in train_error(tmp_path, f"model.path={base}")


def test_a_tokenizer_with_more_tokens_than_the_base_is_an_error(tmp_path):
    base = shutil.copytree(BASE, tmp_path / "base")
    tokenizer = json.loads((base / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["surplus"] = len(vocabulary) + 100
    (base / "tokenizer.json").write_text(json.dumps(tokenizer))
    error = train_error(tmp_path, f"model.tokenizer={base}")
    assert "model.tokenizer" in error


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    run_command("train", *TRAINING, *DECODING, "then=[generate]", f"output_dir={folder}")
    return folder


def test_a_wrong_rank_is_named_with_its_key(run, tmp_path):
    error = error_of("generate", f"run={run}", "method.rank=3", "name=x", "trainer=cpu")
    assert "method.rank" in error


def test_more_beams_than_tokens_are_an_error(run):
    error = error_of("generate", f"run={run}", "generation.num_beams=100000", "name=x")
    assert "generation.num_beams" in error


def test_a_text_that_does_not_fit_is_an_error_on_request(run):
    long = "text=" + "name : X | " * 600
    error = error_of("generate", f"run={run}", long, "generation.on_long_context=error")
    assert "on_long_context" in error


def edited_predictions(run, tmp_path, edit):
    records = read_rows(run / "predictions" / "test" / "predictions.jsonl")
    edit(records)
    return write_rows(tmp_path / "predictions.jsonl", records)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda records: records[2].pop("id"), "predictions.jsonl:3"),
        (lambda records: records[2].update(id=records[0]["id"]), "twice"),
        (lambda records: records.pop(), "no prediction"),
        (lambda records: records[0].update(id=10**6), "no row"),
    ],
)
def test_predictions_must_have_every_id_once(run, tmp_path, edit, said):
    predictions = edited_predictions(run, tmp_path, edit)
    error = error_of(
        "evaluate", f"run={run}", f"predictions={predictions}", f"output_dir={tmp_path / 'scores'}"
    )
    assert said in error
    assert not (tmp_path / "scores" / "metrics.json").exists()


def test_files_from_elsewhere_need_their_references(tmp_path):
    hypotheses = tmp_path / "hypotheses.txt"
    hypotheses.write_text("X .\n")
    error = error_of("evaluate", f"hypotheses={hypotheses}", f"output_dir={tmp_path / 'scores'}")
    assert "references=" in error
