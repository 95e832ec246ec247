"""A rank that ends before its time ends the command, with one line."""

import subprocess
import sys

import pytest

from tests.goldens import ROOT

RANK_0 = """
import subprocess, sys, time
from lora_lightning.process import lost_ranks
lost_ranks.MOMENT_SECONDS = 0.5
def rank(end):
    return subprocess.Popen([sys.executable, "-c", "import os; " + end])
def fail():
    raise RuntimeError("connection closed")
with lost_ranks.ended_by_lost_rank(lambda: "go on like this"):
    lost_ranks.watch_ranks([rank("os._exit(0)"), rank({end!r})])
    {meanwhile}
"""
KILLED, FAILED, ENDED = "os.kill(os.getpid(), 9)", "os._exit(7)", "os._exit(0)"


def run_rank_0(end, meanwhile):
    """Run a process whose second further rank ends so; return its exit code and what it said."""
    program = RANK_0.format(end=end, meanwhile=meanwhile)
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    return ran.returncode, ran.stderr


@pytest.mark.parametrize(
    ("end", "how"), [(KILLED, "SIGKILL"), (FAILED, "exit code 7")], ids=["killed", "failed"]
)
@pytest.mark.parametrize("meanwhile", ["time.sleep(100)", "fail()"])
def test_a_lost_rank_is_named_whether_rank_0_waits_or_fails_by_it(end, how, meanwhile):
    line = f"error: rank 2 ended with {how}; go on like this\n"
    assert run_rank_0(end, meanwhile) == (1, line)


def test_an_error_of_rank_0_stays_what_it_is_where_no_rank_is_lost():
    code, said = run_rank_0(ENDED, "fail()")
    assert code == 1
    assert said.endswith("RuntimeError: connection closed\n")


def test_an_end_of_rank_0s_own_is_not_spoken_over():
    assert run_rank_0(FAILED, "sys.exit('error: of all ranks')") == (1, "error: of all ranks\n")
