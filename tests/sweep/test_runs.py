"""`generate.py -m run=a,b` and `evaluate.py -m run=a,b`: each job takes what its own run had."""

import json
import shutil

import pytest

from lora_lightning.sweep.__main__ import sweep as sweep_command
from tests.commands import error_of, run_command
from tests.sweep.folders import table_of
from tests.tiny import TRAINING

DECODING = ("data.limit_test=3", "generation.num_beams=2", "generation.max_new_tokens=4")
LABEL = "data.limit_test-3-generation.max_new_tokens-4-generation.num_beams-2"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs of other data and another method."""
    folder = tmp_path_factory.mktemp("runs")
    short = [argument for argument in TRAINING if "max_steps" not in argument]
    run_command("train", *short, "trainer.max_steps=1", f"output_dir={folder / 'a'}")
    run_command("train", *short, "trainer.max_steps=1", "data=sample_dart", "method=full",
                f"output_dir={folder / 'b'}")  # fmt: skip
    run_command("generate", "-m", f"run={folder / 'a'},{folder / 'b'}", "split=test,valid",
                "data.limit_valid=3", *DECODING, f"paths.output_dir={folder / 'out'}")  # fmt: skip
    return folder


def sweeps_of(folder, command):
    return sorted((folder / "out" / command).iterdir())


def test_each_run_gets_its_own_predictions_of_each_split_by_its_own_model(runs):
    [sweep] = sweeps_of(runs, "generate")
    rows = table_of(sweep)
    assert [(row["run"], row["split"], row["status"]) for row in rows] == [
        (str(runs / run), split, "finished") for run in "ab" for split in ("test", "valid")
    ]
    for row in rows:
        run = (runs / row["run"]).resolve()
        [results] = (run / "predictions" / row["split"]).iterdir()
        assert str(results) == row["folder"]
        assert results.name.startswith("data.limit_")
        assert "split" not in results.name
        split = [] if row["split"] == "test" else [f"split={row['split']}"]
        following = " ".join(["evaluate.py", f"run={run}", *split, f"name={results.name} "])
        assert following in (results / "generate.log").read_text()
        layer = {"a": "lora_method.LoRA", "b": "full.Full"}[run.name]
        assert layer in (results / ".hydra" / "config.yaml").read_text()
    assert texts_of(runs / "a") != texts_of(runs / "b")


def texts_of(run):
    [results] = (run / "predictions" / "test").iterdir()
    lines = (results / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    return tuple(json.loads(line)["context"] for line in lines)


def test_scores_lie_with_each_run_and_stand_in_one_table_and_resume_fills_it(runs):
    [name] = [path.name for path in (runs / "a" / "predictions" / "test").iterdir()]
    arguments = ("-m", f"run={runs / 'a'},{runs / 'b'}", f"name={name}", "data.limit_test=3",
                 "protocol.metrics=[bleu]", f"paths.output_dir={runs / 'out'}")  # fmt: skip
    run_command("evaluate", *arguments)
    [sweep] = sweeps_of(runs, "evaluate")
    rows = table_of(sweep)
    for row in rows:
        [metrics] = (runs / row["run"] / "evaluation" / "test" / name).glob("*/metrics.json")
        record = json.loads(metrics.read_text())
        assert float(row["bleu"]) == record["scores"]["bleu"]
    assert "holds results (metrics.json)" in error_of("evaluate", *arguments)
    assert sweeps_of(runs, "evaluate") == [sweep]
    shutil.rmtree(sweep / "1")
    shutil.rmtree(runs / "b" / "evaluation")
    assert sweep_command(["resume", str(sweep)]) == 0
    assert table_of(sweep)[1]["bleu"] == rows[1]["bleu"]


@pytest.mark.parametrize(("value", "reason"), [
    ("<a>,<a>x", "<a>x: no such folder"), ("glob(*)", "divided by commas"),
    ("range(3)", "divided by commas"),
])  # fmt: skip
def test_what_is_no_list_of_runs_is_refused_before_the_first_job(value, reason, runs):
    given = value.replace("<a>", str(runs / "a"))
    error = error_of("generate", "-m", f"run={given}", f"paths.output_dir={runs / 'none'}")
    assert reason.replace("<a>", str(runs / "a")) in error
    assert not (runs / "none").exists()


def test_a_key_that_one_of_the_runs_does_not_know_is_refused_naming_the_run(runs, tmp_path):
    error = error_of("generate", "-m", f"run={runs / 'b'},{runs / 'a'}", "method.rank=2",
                     f"paths.output_dir={tmp_path}/none")  # fmt: skip
    assert f"method.rank: run={runs / 'b'} has method=full, which has no such key" in error
    assert "sweep the runs that have it by themselves" in error
    assert not (tmp_path / "none").exists()


def test_several_runs_need_a_multirun(runs):
    assert "need -m" in error_of("evaluate", f"run={runs / 'a'},{runs / 'b'}")


def test_results_of_several_runs_in_one_folder_have_a_folder_each(runs):
    run_command("generate", "-m", f"run={runs / 'a'},{runs / 'b'}", *DECODING,
                f"output_dir={runs / 'one'}")  # fmt: skip
    names = sorted(path.parent.name for path in (runs / "one").glob("*/predictions.jsonl"))
    assert names == [f"{LABEL}-run-a", f"{LABEL}-run-b"]
    log = (runs / "one" / names[0] / "generate.log").read_text()
    assert f"predictions={runs}/one/{names[0]}/predictions.jsonl" in log


def test_the_latest_run_is_one_of_several(runs, tmp_path, capsys):
    latest = tmp_path / "train" / "sample_e2e_gpt2_tiny" / "x"
    shutil.copytree(runs / "a", latest)
    run_command("generate", "-m", f"run=latest,{runs / 'b'}", *DECODING, "dry_run=true",
                f"paths.output_dir={tmp_path}")  # fmt: skip
    said = capsys.readouterr().out
    assert [str(run) in said for run in (latest, runs / "b", "latest/")] == [True, True, False]
