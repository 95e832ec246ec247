"""A rank that ends before its time ends the command, with one line that says which and how.

Otherwise rank 0 has the traceback of a broken connection, waits for what does not come, or is
killed without a word by Lightning's own observer, whose place this takes.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from lora_lightning.process.parent import let_parent_end_first

POLL_SECONDS = 0.1
# In which rank 0 comes to an end of its own, with its own line, where the ranks fail alike.
MOMENT_SECONDS = 2.0


@dataclass
class _Watched:
    """The further ranks of this process, which trains or decodes with one set of them at a time."""

    ranks: Sequence[subprocess.Popen[bytes]] = ()
    advice: Callable[[], str] = field(default=lambda: "start it again")
    is_ending: bool = False


_watched = _Watched()


def watch_ranks(ranks: Sequence[subprocess.Popen[bytes]]) -> None:
    """End this process soon after one of its further ranks ended with an error.

    Args:
        ranks: rank 1 and those that follow, as Lightning started them.
    """
    _watched.ranks = ranks

    def look_after() -> None:
        while (lost := lost_rank()) is None:
            if all(rank.poll() == 0 for rank in ranks):
                return
            time.sleep(POLL_SECONDS)
        time.sleep(MOMENT_SECONDS)
        if _watched.ranks is ranks and not _watched.is_ending:
            sys.stderr.write(f"error: {lost}; {_watched.advice()}\n")
            sys.stderr.flush()
            os._exit(1)

    threading.Thread(target=look_after, name=watch_ranks.__name__, daemon=True).start()


def lost_rank(patience: float = 0.0) -> str | None:
    """Return which of this process's further ranks ended with an error, and how; None: none did.

    Args:
        patience: seconds to wait for it; a rank's connections break a moment before it has ended.
    """
    deadline = time.monotonic() + patience
    while True:
        for number, rank in enumerate(_watched.ranks, start=1):
            if code := rank.poll():
                how = f"exit code {code}" if code > 0 else signal.Signals(-code).name
                return f"rank {number} ended with {how}"
        if time.monotonic() >= deadline:
            return None
        time.sleep(POLL_SECONDS)


@contextmanager
def ended_by_lost_rank(advice: Callable[[], str]) -> Iterator[None]:
    """Context in which what another rank's end brings about is one line, and exit code 1.

    A further rank waits before it fails by the end of rank 0, which ends this process with it.

    Args:
        advice: returns how to go on.
    """
    _watched.advice, _watched.is_ending = advice, False
    try:
        yield
    except Exception:
        if _watched.ranks and (lost := lost_rank(MOMENT_SECONDS)):
            sys.exit(f"error: {lost}; {advice()}")
        let_parent_end_first()
        raise
    finally:
        _watched.is_ending, _watched.ranks = True, ()
