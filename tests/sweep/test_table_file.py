"""sweep.csv is right at every moment, whoever writes it, and cheap however many jobs there are."""

import random
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from lora_lightning.sweep.record import TABLE, SweepFolder
from lora_lightning.sweep.table_file import first_failed, read_table, update_table, write_table
from tests.sweep.folders import begin, end, sweep_of

STRANGE = ["a, b", 'say "no"', "two\nlines", "\u2028", "ends \r", "é"]
opened = []
is_counting = [False]


def _note(event, arguments):
    if is_counting[0] and event in ("open", "os.scandir", "os.listdir"):
        opened.append(str(arguments[0]))


def update(sweep, job):
    return update_table(sweep, job)


@pytest.fixture(scope="module")
def count_opened():
    sys.addaudithook(_note)  # for good, as Python has no way to take one back

    def count(work):
        opened.clear()
        is_counting[0] = True
        try:
            work()
        finally:
            is_counting[0] = False
        return len(opened)

    return count


def test_an_update_opens_no_more_files_in_a_large_sweep_than_in_a_small_one(tmp_path, count_opened):
    counts = []
    for jobs in (5, 400):
        sweep = sweep_of(tmp_path / str(jobs), jobs)
        for name in sweep.plan.jobs:
            end(sweep, name)
        write_table(sweep)
        job = end(sweep, "3", 0.5)
        update(sweep, job)
        counts.append(count_opened(lambda sweep=sweep, job=job: update(sweep, job)))
        assert count_opened(lambda sweep=sweep: first_failed(sweep)) <= 2
    assert counts[0] == counts[1] < 12


def test_the_table_that_updates_leave_is_the_one_that_the_folders_give(tmp_path):
    draw = random.Random(0)
    sweep = sweep_of(tmp_path / "sweep", 12)
    for name in draw.sample(sorted(sweep.plan.jobs), 12):
        update(sweep, begin(sweep, name))
        status = draw.choice(["finished", "finished", "failed", "running"])
        if status == "running":
            continue
        error = draw.choice(STRANGE) if status == "failed" else None
        scores = {"test": {"bleu": draw.random()}} if draw.random() < 0.5 else None
        update(sweep, end(sweep, name, draw.random(), status, error, scores))
        kept = (sweep.path / TABLE).read_bytes()
        write_table(sweep)
        assert (sweep.path / TABLE).read_bytes() == kept
    assert first_failed(sweep) is not None


def test_a_drawn_job_joins_the_table_in_its_place(tmp_path):
    sweep = sweep_of(tmp_path / "sweep", 12)
    planned = sweep.plan.jobs
    sweep.write_plan(type(sweep.plan)(**(vars(sweep.plan) | {"jobs": {}})))
    for name in ("0", "10", "2", "1"):
        (sweep.path / name).mkdir()
        job = end(SweepWith(sweep.path, planned), name)
        update(sweep, job)
    assert read_table(sweep).column("job") == ["0", "1", "2", "10"]


class SweepWith:
    """The sweep of a sampling sweeper, whose jobs' overrides are known once they are drawn."""

    def __init__(self, path, jobs):
        self.path = path
        self.plan = type("Drawn", (), {"jobs": jobs})


DAMAGED = {
    "empty": lambda text: "",
    "other names": lambda text: text.replace("status", "state"),
    "short row": lambda text: text + "1,2\n",
    "other delimiter": lambda text: "job;status\n0;finished\n",
    "cut off": lambda text: text[:-20],
    "blank": lambda text: "\n\n",
    "rows gone": lambda text: "".join(text.splitlines(keepends=True)[:-1]),
}


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED)
def test_a_table_that_is_none_is_made_anew_by_the_next_job(damage, tmp_path):
    sweep = sweep_of(tmp_path / "sweep", 5)
    for name in sweep.plan.jobs:
        update(sweep, end(sweep, name, error='a "word"', status="failed"))
    whole = (sweep.path / TABLE).read_text(encoding="utf-8")
    (sweep.path / TABLE).write_text(damage(whole), encoding="utf-8")
    update(sweep, end(sweep, "0", error='a "word"', status="failed"))
    assert (sweep.path / TABLE).read_text(encoding="utf-8") == whole


def run_jobs(path, names):
    sweep = SweepFolder(path)
    for name in names:
        update(sweep, begin(sweep, name))
        update(sweep, end(sweep, name, scores={f"split{name}": {"bleu": 0.5}}))


def test_jobs_of_several_processes_lose_no_row(tmp_path):
    sweep = sweep_of(tmp_path / "sweep", 24)
    with ProcessPoolExecutor(3, mp_context=get_context("fork")) as pool:
        shares = [[str(n) for n in range(first, 24, 3)] for first in range(3)]
        list(pool.map(run_jobs, [sweep.path] * 3, shares))
    table = read_table(sweep)
    assert table.column("status") == ["finished"] * 24
    assert [table.column(f"split{n}/bleu")[n] for n in range(24)] == ["0.5"] * 24
