"""Commands as processes of their own, to be killed and signalled, and what they leave running."""

import subprocess
import sys
import time
from contextlib import contextmanager

import psutil

from tests.goldens import ROOT

SECONDS = 120  # the most that a loaded machine may take for anything below


@contextmanager
def started(*arguments):
    """Start `python <arguments>`, and leave nothing of it behind."""
    process = subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        for left in family(process):
            left.kill()
        process.kill()
        process.communicate(timeout=SECONDS)


def family(process):
    """The process and all that it started, directly or not."""
    try:
        first = psutil.Process(process.pid)
        return [first, *first.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def wait_until(happened, process):
    """Wait until something has happened, while the process runs."""
    deadline = time.monotonic() + SECONDS
    while not happened():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def ranks_of(process):
    """The further ranks that a command started."""
    return [child for child in family(process)[1:] if "hydra.run.dir" in command_of(child)]


def command_of(process):
    """The command line of a process, nothing where it has just ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def all_end(processes):
    """Whether processes end within seconds, or what a loaded machine makes of them."""
    _, alive = psutil.wait_procs(processes, timeout=30)
    return not alive


def lines_in(path):
    """How many whole lines a file has, 0 where it is missing."""
    return path.read_bytes().count(b"\n") if path.exists() else 0
