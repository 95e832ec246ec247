"""A sweep says in one line of 80 columns how far it is."""

import pytest

from lora_lightning.sweep.progress import progress_line
from lora_lightning.sweep.table_file import TableFile
from tests.sweep.folders import grid, plan


def table(*rows):
    return TableFile.of(["job", "status", "objective", "seconds"], [list(row) for row in rows])


def test_it_counts_what_is_done_and_in_which_state_and_names_the_best():
    line = progress_line(
        plan(grid(6)),
        table(("0", "finished", "1.5", "60"), ("1", "finished", "1.25", "60"),
              ("2", "failed", "", "3"), ("3", "running", "", ""), ("4", "running", "", ""),
              ("5", "missing", "", "")),
    )  # fmt: skip
    assert line == ("sweep         3/6 done, 2 running, 1 failed, best 1.2500, 1 min 30 s left")


@pytest.mark.parametrize(("metric", "best"), [("val/loss", "(job 0)"), ("test/bleu", "(job 1)")])
def test_the_best_is_the_least_loss_or_the_highest_score(metric, best):
    rows = (("0", "finished", "0.2", "1"), ("1", "finished", "0.9", "1"))
    assert progress_line(plan(metric=metric), table(*rows)).endswith(best)


def test_it_fits_eighty_columns_however_large_the_sweep():
    statuses = ["finished", "pruned", "killed", "failed", "running"]
    rows = [(str(n), statuses[n % 5], "0.123456", "100000") for n in range(5000)]
    line = progress_line(plan(metric="val/perplexity_per_token", trials=6000), table(*rows))
    assert len(line) < 80
    assert line.startswith("sweep         4000/6000 done, 1000 running, 1000 pruned, 2000 failed")


def test_a_command_without_an_objective_and_a_sweep_without_an_ended_job_say_what_is_known():
    assert progress_line(plan(metric=None), table(("0", "running", "", ""))) == (
        "sweep         0/1 done, 1 running"
    )
    several = table(("0", "finished", "(1.0, 2.0)", "2"), ("1", "missing", "", ""))
    assert progress_line(plan(), several) == "sweep         1/2 done, 0 min 02 s left"
