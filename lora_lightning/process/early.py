"""Signals while a command still imports what it needs, which takes seconds.

`ended_by_signals` takes over from here. Only Python's own start comes before, hence few imports.
"""

import os
import signal
import sys
import threading
from types import FrameType
from typing import Any

# A scheduler that takes a machine away sends SIGTERM, or what `sbatch --signal=USR1@90` asks for.
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1")
           if hasattr(signal, name)]  # fmt: skip


def heard_signals() -> list[int]:
    """Return the signals to obey; what a job in the background of a shell ignores stays ignored."""
    if threading.current_thread() is not threading.main_thread():
        return []
    return [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]


def _end(number: int, frame: FrameType | None) -> None:
    """End this process, with one line; a rank that Lightning started lets rank 0 speak."""
    from lora_lightning.process.parent import is_rank_of_lightning

    if is_rank_of_lightning():
        os.kill(os.getppid(), number)
        os._exit(0)
    sys.stderr.write(f"{signal.Signals(number).name} ended the command; start it again\n")
    sys.stderr.flush()
    os._exit(128 + number)


_earlier: dict[int, Any] = {}


def listen() -> None:
    """Let signals end this process in order from now on."""
    _earlier.update({number: signal.signal(number, _end) for number in heard_signals()})


def stop() -> None:
    """Give the signals back to whoever had them before."""
    while _earlier:
        signal.signal(*_earlier.popitem())
