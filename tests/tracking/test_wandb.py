"""What Weights & Biases gets, recorded offline by the real client and read back from its files."""

import inspect
import json
import math
import os
import re
import subprocess
import sys

import pytest
import wandb

from lora_lightning.tasks.loggers import exit_code_of
from lora_lightning.tracking.csv_tables import read_metrics
from lora_lightning.tracking.wandb_run import WandbRun, sample_by_id
from tests.commands import error_of, run_command, run_process
from tests.goldens import ROOT
from tests.tiny import DECODING, TRAINING, read_rows
from tests.wandb_files import recorded_runs

FEW = ("protocol.metrics=[bleu,nist]",)  # no Java
OFFLINE = ("logger=wandb", "logger.wandb.offline=true")


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Two jobs of a sweep that train, decode and score."""
    folder = tmp_path_factory.mktemp("runs") / "ranks"
    run_command(
        "train", "-m", *TRAINING, *DECODING, *OFFLINE, "logger.wandb.prediction_rows=3",
        "method.rank=1,2", "then=[generate,evaluate]", *FEW, f"output_dir={folder}",
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def job(sweep):
    """The second job's run."""
    [run] = recorded_runs(sweep / "1")
    return run


def test_every_job_of_a_sweep_has_one_run_that_ended_well(sweep):
    runs = recorded_runs(sweep)
    assert len(runs) == 2
    assert len({run.id for run in runs}) == 2
    assert [run.exit_code for run in runs] == [0, 0]
    assert [(run.group, run.job_type) for run in runs] == [("ranks", "train")] * 2
    assert [run.name for run in runs] == ["ranks/0", "ranks/1"]


def test_the_config_is_resolved_with_the_axes_of_sweeps_at_its_top(job):
    axes = ("rank", "alpha", "lr", "seed", "dataset", "method", "model")
    assert [job.config[axis] for axis in axes] == [
        2,
        32,
        2e-4,
        0,
        "sample_e2e",
        "lora",
        "gpt2_tiny",
    ]
    assert job.config["optimizer"]["lr"] == 2e-4
    assert job.config["method_config"]["rank"] == 2
    assert "${" not in json.dumps(job.config)


def test_metrics_lie_over_updates_as_in_metrics_csv(sweep, job):
    rows = read_metrics(sweep / "1" / "metrics.csv")
    assert job.step_metrics["*"] == "trainer/global_step"
    for name in ("train/loss", "train/lr", "train/tokens_per_second", "val/loss"):
        assert job.metric(name) == [(row["step"], row[name]) for row in rows if name in row]


def test_norms_and_memory_are_in_every_logger(sweep, job):
    rows = read_metrics(sweep / "1" / "diagnostics.csv")
    assert [row["step"] for row in rows] == [1, 2, 3]
    deltas = [name for name in rows[0] if name.startswith("delta/")]
    assert deltas == [f"delta/h.{layer}.attn.c_attn" for layer in range(4)]
    for name in ("train/gradient_norm", "lora/norm_A", "lora/norm_B", "lora/norm_delta",
                 "memory/peak_mb", *deltas):  # fmt: skip
        assert job.metric(name) == [(row["step"], row[name]) for row in rows]
    for row in rows:
        assert row["lora/norm_delta"] == pytest.approx(math.hypot(*(row[d] for d in deltas)))
    assert rows[0]["lora/norm_B"] > 0


def test_the_parameter_table_adds_up_to_what_is_trained(sweep, job):
    table = job.tables["parameters"]
    assert table["columns"] == ["parameters", "formula", "count"]
    trainable = json.loads((sweep / "1" / "run.json").read_text())["parameters"]["trainable"]
    assert sum(row[2] for row in table["data"]) == trainable == job.summary["parameters/trainable"]


def test_the_table_of_predictions_has_the_same_few_ids_in_every_run(sweep, job):
    first, second = (run.tables["predictions/test"] for run in recorded_runs(sweep))
    assert second["columns"][:4] == ["id", "context", "references", "prediction"]
    assert "bleu" in "".join(second["columns"][4:])
    assert len(second["data"]) == 3
    assert [row[0] for row in first["data"]] == [row[0] for row in second["data"]]
    records = {
        str(record["id"]): record
        for record in read_rows(sweep / "1" / "evaluation" / "test" / "sentences.jsonl")
    }
    for id, context, references, prediction, *scores in second["data"]:
        record = records[id]
        assert (context, prediction) == (record["context"], record["hypothesis"])
        assert references.split("\n") == record["references"]
        assert scores == list(record["metrics"].values())


def test_scores_stand_in_the_runs_summary(sweep, job):
    scores = json.loads((sweep / "1" / "evaluation" / "test" / "metrics.json").read_text())[
        "scores"
    ]
    assert {name: job.summary[f"test/{name}"] for name in scores} == scores
    assert job.summary["decoding/contexts_per_second"] > 0


def test_adapters_and_predictions_are_artifacts_with_aliases(job):
    assert job.artifacts[f"adapter-{job.id}"] >= {"last", "best"}
    assert "last" in job.artifacts[f"predictions-test-{job.id}"]


def test_every_argument_of_wandb_init_is_a_key_or_the_runs_own():
    own = {"dir", "config", "allow_val_change", "mode", "resume", "anonymous"}
    arguments = set(inspect.signature(wandb.init).parameters)
    assert arguments - own <= set(inspect.signature(WandbRun).parameters)
    run = WandbRun(save_dir=".", save_code=True, settings={"init_timeout": 7}, notes="why")
    given = {key: run._wandb_init[key] for key in ("save_code", "settings", "notes")}
    assert given == {"save_code": True, "settings": {"init_timeout": 7}, "notes": "why"}


def test_an_argument_that_wandb_refuses_is_one_line(tmp_path):
    error = error_of("train", *TRAINING, *OFFLINE, "logger.wandb.settings={init_timeot: 5}",
                     f"output_dir={tmp_path / 'run'}")  # fmt: skip
    assert "logger.wandb: wandb.init refuses what is given" in error
    assert "init_timeot" in error
    assert recorded_runs(tmp_path) == []


def test_the_documentation_names_every_panel(job):
    page = (ROOT / "docs" / "wandb.md").read_text(encoding="utf-8")
    keys = {key for row in job.history for key in row if not key.startswith("_")}
    panels = {re.sub(r"h\.\d+", "h.<layer>", key) for key in keys}
    assert [panel for panel in sorted(panels) if f"`{panel}`" not in page] == []


def test_decoding_and_scoring_later_add_to_the_trainings_run(sweep, job):
    run = sweep / "1"
    assert json.loads((run / "logger_ids.json").read_text()) == {"wandb": job.id}
    common = (f"run={run}", "name=greedy", *OFFLINE)
    run_command("generate", *common, "trainer=cpu", "generation=greedy", "checkpoint=best")
    run_command("evaluate", *common, *FEW)
    decoded, scored = (
        recorded_runs(run / part / "test" / "greedy") for part in ("predictions", "evaluation")
    )
    assert [len(decoded), len(scored)] == [1, 1]
    assert decoded[0].id == scored[0].id == job.id
    assert "best" in decoded[0].artifacts[f"predictions-test_greedy-{job.id}"]
    assert "test_greedy/bleu" in scored[0].summary
    assert "predictions/test_greedy" in scored[0].tables
    assert "rank" not in scored[0].config  # the training's own stays


def test_a_resumed_training_goes_on_in_the_same_run(tmp_path):
    run = tmp_path / "run"
    run_command("train", *TRAINING, *OFFLINE, f"output_dir={run}")
    run_command("train", f"resume={run}", "resume_force=true", "trainer.max_steps=4")
    first, second = recorded_runs(run)
    assert first.id == second.id
    assert [step for step, _ in second.metric("train/loss")] == [4]
    assert [row["step"] for row in read_metrics(run / "diagnostics.csv")] == [1, 2, 3, 4]
    assert second.exit_code == 0


def test_decoding_without_a_run_is_a_run_of_its_own(tmp_path):
    run_command("generate", *DECODING, *OFFLINE, "trainer=cpu", f"output_dir={tmp_path / 'out'}")
    [run] = recorded_runs(tmp_path)
    assert (run.job_type, run.group, run.exit_code) == ("generate", "", 0)
    assert run.config["dataset"] == "sample_e2e"


@pytest.mark.parametrize(
    ("raised", "code"),
    [(KeyboardInterrupt(), 130), (SystemExit(3), 3), (SystemExit("error: x"), 1),
     (SystemExit(), 0), (ValueError(), 1)],
)  # fmt: skip
def test_the_exit_status_is_the_processs(raised, code):
    assert exit_code_of(raised) == code


@pytest.mark.parametrize("raised", [KeyboardInterrupt, RuntimeError])
def test_a_run_is_closed_when_training_fails(raised, tmp_path, monkeypatch):
    def fail(*_):
        raise raised("in the middle")

    monkeypatch.setattr("lora_lightning.training.module.FineTuning.on_validation_epoch_end", fail)
    with pytest.raises((raised, SystemExit)):
        run_command("train", *TRAINING, *OFFLINE, f"output_dir={tmp_path / 'run'}")
    [run] = recorded_runs(tmp_path)
    assert run.exit_code not in (None, 0)
    assert len(run.metric("train/loss")) > 0


def test_bad_input_leaves_no_run_behind(tmp_path):
    error_of("train", *TRAINING, *OFFLINE, "data=jsonl", f"output_dir={tmp_path / 'run'}")
    assert recorded_runs(tmp_path) == []


@pytest.mark.long
def test_two_ranks_make_one_run_that_needs_no_network(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_ERROR_REPORTING")
    run_process("train.py", *TRAINING, *OFFLINE, "trainer=ddp_cpu",
                f"output_dir={tmp_path / 'run'}")  # fmt: skip
    [run] = recorded_runs(tmp_path)
    assert run.exit_code == 0
    assert [step for step, _ in run.metric("train/loss")] == [1, 2, 3]
    assert run.artifacts[f"adapter-{run.id}"] >= {"last", "best"}


@pytest.mark.parametrize("command", ["train", "generate", "evaluate"])
def test_without_a_key_an_online_run_is_refused_at_once(command, tmp_path, monkeypatch):
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "absent"))
    monkeypatch.setattr("sys.stdin", None)  # nobody is there to be asked
    error = error_of(command, "logger=wandb", "model.path=/absent", f"output_dir={tmp_path / 'x'}")
    assert "logger=csv" in error
    assert "logger.wandb.offline=true" in error


def test_wandbs_own_environment_counts_where_a_key_is_not_set(tmp_path, monkeypatch):
    given = {"PROJECT": "theirs", "NAME": "五", "RUN_GROUP": "ours", "TAGS": "a,b",
             "NOTES": "why", "ENTITY": "team"}  # fmt: skip
    for name, value in given.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    run_command("train", *TRAINING, *OFFLINE, "logger.wandb.group=mine",
                f"output_dir={tmp_path / 'run'}")  # fmt: skip
    [run] = recorded_runs(tmp_path)
    assert (run.project, run.name, run.group) == ("theirs", "五", "mine")
    assert (run.tags, run.notes, run.entity) == (["a", "b"], "why", "team")


@pytest.mark.parametrize("mode", ["offline", "disabled"])
def test_wandbs_own_settings_file_is_respected(mode, tmp_path):
    (tmp_path / "wandb").mkdir()
    (tmp_path / "wandb" / "settings").write_text(f"[default]\nmode = {mode}\n")
    program = "from lora_lightning.tracking.wandb_account import wandb_mode; print(wandb_mode())"
    environment = {key: value for key, value in os.environ.items() if key != "WANDB_MODE"}
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True,
        env=environment | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ["PYTHONPATH"]])},
    )  # fmt: skip
    assert found.stdout.split() == [mode], found.stderr


@pytest.mark.parametrize(
    ("name", "value"), [("WANDB_MODE", "disabled"), ("WANDB_DISABLED", "true")]
)
def test_where_wandb_is_switched_off_no_run_begins_and_no_key_is_needed(
    name, value, tmp_path, monkeypatch
):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv(name, value)
    run_command("train", *TRAINING, "logger=wandb", f"output_dir={tmp_path / 'run'}")
    assert (tmp_path / "run" / "result.json").is_file()
    assert not (tmp_path / "run" / "logger_ids.json").exists()
    assert recorded_runs(tmp_path) == []


def test_a_key_of_the_wrong_form_is_said_to_be_that(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_API_KEY", "too-short")
    error = error_of("train", *TRAINING, "logger=wandb", f"output_dir={tmp_path / 'run'}")
    assert "of the wrong form" in error
    assert "logger.wandb.offline=true" in error
    assert not (tmp_path / "run").exists()


def test_fewer_sentences_than_rows_are_all_taken_in_their_order():
    sentences = [{"id": id} for id in (5, "b", 1)]
    assert sample_by_id(sentences, 10) == sentences
    assert sample_by_id(sentences, 2) == [s for s in sentences if s in sample_by_id(sentences, 2)]
