"""A sweep leaves a table; what failed is told, kept apart, and can run again."""

import json
import os
import shutil
from statistics import mean, stdev

import pytest

from lora_lightning.errors import InputError
from lora_lightning.sweep.__main__ import sweep as sweep_command
from lora_lightning.sweep.record import SweepFolder
from lora_lightning.sweep.table import mean_over_seeds, read_rows
from lora_lightning.sweep.table_file import write_table
from tests.commands import error_of, run_command
from tests.sweep.folders import table_of
from tests.tiny import DECODING, TRAINING


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Rank × seed, in which one rank fails."""
    folder = tmp_path_factory.mktemp("sweeps") / "grid"
    with pytest.raises(SystemExit) as ended:
        run_command("train", "-m", *TRAINING, *DECODING, "then=[generate,evaluate]",
                    "protocol.metrics=[bleu,nist]", "method.rank=2,999,4", "seed=0,1",
                    f"output_dir={folder}")  # fmt: skip
    (folder / "said").write_text(str(ended.value.code))
    return folder


def test_show_as_json_has_every_job_and_the_means(sweep, capsys):
    assert sweep_command(["show", str(sweep), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert [job["job"] for job in record["jobs"]] == ["0", "1", "2", "3", "4", "5"]
    assert (record["metric"], record["direction"]) == ("val/loss", "minimize")
    assert record["means_over_seeds"][0]["objective"].keys() == {"mean", "std"}
    assert record["jobs"][0]["partial"] == "test/bleu test/nist"


def test_the_page_has_every_column_and_says_what_a_star_means(sweep, capsys):
    sweep_command(["show", str(sweep), "--wide"])
    shown = capsys.readouterr().out
    assert "val/perplexity_per_token" in shown
    assert "* partial: " in shown


def test_a_failed_job_ends_neither_the_sweep_nor_its_exit_code_well(sweep):
    said = (sweep / "said").read_text()
    assert said.startswith("error: 2 of 6 jobs did not finish: 2 (failed), 3 (failed)")
    assert [row["status"] for row in table_of(sweep)] == [
        "finished", "finished", "failed", "failed", "finished", "finished",
    ]  # fmt: skip


def test_the_table_has_a_row_a_job_and_a_column_an_axis(sweep):
    rows = table_of(sweep)
    assert [row["job"] for row in rows] == ["0", "1", "2", "3", "4", "5"]
    assert [(row["method.rank"], row["seed"]) for row in rows] == [
        (rank, seed) for rank in ("2", "999", "4") for seed in ("0", "1")
    ]
    for row in rows:
        assert row["folder"] == str(sweep / row["job"])
        assert float(row["seconds"]) > 0
        assert "trainer.max_steps=3" in row["overrides"]


def test_the_table_holds_the_objective_and_every_score_of_a_job(sweep):
    row = table_of(sweep)[4]
    result = json.loads((sweep / "4" / "result.json").read_text())
    scores = json.loads((sweep / "4" / "evaluation/test/metrics.json").read_text())["scores"]
    assert float(row["objective"]) == float(row["val/loss"]) == result["value"]
    assert {name: float(row[f"test/{name}"]) for name in scores} == scores
    assert int(row["trainable_parameters"]) == 2 * int(table_of(sweep)[0]["trainable_parameters"])


def test_a_failed_job_leaves_its_traceback_in_its_folder(sweep):
    trace = (sweep / "2" / "error.txt").read_text()
    assert trace.startswith("Traceback")
    assert "method.rank=999" in trace.splitlines()[-1]
    assert "method.rank=999" in table_of(sweep)[2]["error"]
    assert not (sweep / "0" / "error.txt").exists()


def test_each_job_says_how_far_the_sweep_is_when_it_begins_and_ends(sweep):
    lines = (sweep / "4" / "train.log").read_text(encoding="utf-8").splitlines()
    said = [line for line in lines if line.startswith("sweep  ")]
    assert said[0].startswith("sweep         4/6 done, 1 running, 2 failed, best ")
    assert said[-1].startswith("sweep         5/6 done, 2 failed, best val/loss ")


def test_means_over_seeds_leave_out_what_failed(sweep):
    record = SweepFolder.open(sweep)
    two, four = mean_over_seeds(record.plan, read_rows(record))
    assert (two["method.rank"], four["method.rank"]) == ("2", "4")
    losses = [float(row["objective"]) for row in table_of(sweep)[:2]]
    assert two["objective"] == pytest.approx((mean(losses), stdev(losses)))
    assert two["seeds"] == 2


def test_show_prints_the_table_and_the_means(sweep, capsys):
    assert sweep_command(["show", str(sweep)]) == 0
    shown = capsys.readouterr().out
    for part in ("method.rank", "test/bleu", "failed", "mean ± std over seeds", "job 2: "):
        assert part in shown


def test_plot_writes_figures_and_a_page_that_needs_no_other_file(sweep, capsys):
    sweep_command(["plot", str(sweep)])
    assert capsys.readouterr().out.strip() == str(sweep / "sweep.html")
    names = {path.name for path in (sweep / "plots").iterdir()}
    assert {"objective_over_method.rank.png", "objective_over_seed.png",
            "test-bleu_over_parameters.png"} <= names  # fmt: skip
    page = (sweep / "sweep.html").read_text()
    assert page.count('src="data:image/png;base64,') == len(names)
    assert "://" not in page


def test_a_score_that_was_not_computed_is_a_hole_in_a_finished_job(sweep, tmp_path):
    copy = shutil.copytree(sweep, tmp_path / "sweep")
    path = copy / "0" / "evaluation" / "test" / "metrics.json"
    metrics = json.loads(path.read_text())
    metrics["scores"]["nist"] = None
    metrics["not_computed"]["nist"] = "no Java"
    path.write_text(json.dumps(metrics))
    write_table(SweepFolder.open(copy))
    row = table_of(copy)[0]
    assert (row["status"], row["test/nist"], row["not_computed"]) == (
        "finished", "", "test/nist",
    )  # fmt: skip


def test_resume_runs_only_what_is_unfinished_and_each_in_its_own_folder(sweep, tmp_path):
    copy = shutil.copytree(sweep, tmp_path / "sweep")
    mend(copy, "2", "method.rank=999", "method.rank=1")
    shutil.rmtree(copy / "3")
    plan = json.loads((copy / "sweep.json").read_text())
    plan["jobs"]["3"] = [o.replace("=999", "=1") for o in plan["jobs"]["3"]]
    (copy / "sweep.json").write_text(json.dumps(plan))
    before = {job: (copy / job / "job.json").stat().st_mtime_ns for job in "0145"}
    assert sweep_command(["resume", str(copy)]) == 0
    rows = table_of(copy)
    assert {row["status"] for row in rows} == {"finished"}
    assert [row["method.rank"] for row in rows] == ["2", "2", "1", "1", "4", "4"]
    assert json.loads((copy / "2" / "job.json").read_text())["overrides"][-2] == "seed=0"
    assert before == {job: (copy / job / "job.json").stat().st_mtime_ns for job in before}
    assert sweep_command(["resume", str(copy)]) == 0  # nothing left to do


def mend(folder, job, old, new):
    path = folder / job / "job.json"
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize(
    ("process", "started", "status"),
    [
        (2**22 + 1, "2026-01-01T00:00:00+00:00", "killed"),
        (-1, "2026-01-01T00:00:00+00:00", "killed"),
        (os.getpid(), "2026-01-01T00:00:00+00:00", "killed"),  # this one only has its id
        (os.getpid(), "2999-01-01T00:00:00+00:00", "running"),
    ],
    ids=["gone", "no id", "another's id", "alive"],
)
def test_a_job_whose_process_died_counts_as_killed(process, started, status, sweep, tmp_path):
    copy = shutil.copytree(sweep, tmp_path / "sweep")
    path = copy / "0" / "job.json"
    changed = {"status": "running", "process": process, "started": started}
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))
    assert SweepFolder.open(copy).jobs()[0].status == status


def test_resume_refuses_other_settings_and_other_folders(sweep, tmp_path):
    with pytest.raises(InputError, match="keeps its settings"):
        sweep_command(["resume", str(sweep), "optimizer.lr=1"])
    with pytest.raises(InputError, match="holds no sweep"):
        sweep_command(["show", str(tmp_path)])


def test_on_job_failure_raise_starts_no_further_job(tmp_path):
    folder = tmp_path / "sweep"
    error = error_of("train", "-m", *TRAINING, "method.rank=999,2", "on_job_failure=raise",
                     f"output_dir={folder}")  # fmt: skip
    assert "job 0 (method.rank=999) failed" in error
    assert [row["status"] for row in table_of(folder)] == ["failed", "missing"]


def test_an_evaluation_with_a_hole_lets_a_multirun_go_on(sweep, tmp_path):
    scores = tmp_path / "scores"
    run_command("evaluate", "-m", f"run={sweep / '0'}", "protocol.metrics=[meteor],[bleu]",
                "evaluation.java=/nowhere/java", f"output_dir={scores}")  # fmt: skip
    whole, holed = table_of(scores)
    assert (holed["status"], holed["not_computed"], holed["meteor"]) == ("finished", "meteor", "")
    assert (whole["status"], whole["not_computed"]) == ("finished", "")
    assert float(whole["bleu"]) >= 0
