"""SIGTERM, SIGUSR1 and Ctrl-C during training: noted at once, obeyed between two updates."""

import logging
import signal
import threading
from types import FrameType
from typing import Any

import torch
import torch.distributed

log = logging.getLogger(__name__)
# A scheduler that takes a machine away sends SIGTERM, or what `sbatch --signal=USR1@90` asks for.
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1")
           if hasattr(signal, name)]  # fmt: skip


class SignalWatch:
    """Notes a signal, so that training ends where its state can be saved.

    To end at once would leave half a step. A second signal does it nevertheless, as if nobody had
    watched. Ranks get signals at different times, or only one of them does, so they agree on it.
    What the process ignores, as a job in the background of a shell does SIGINT, stays ignored.
    """

    def __init__(self) -> None:
        self._received = 0
        self._earlier: dict[int, Any] = {}
        self._group: Any = None

    def start(self, world_size: int) -> None:
        """Watch from now on; called by every rank."""
        if world_size > 1 and self._group is None:
            # On the host, whatever the gradients travel by: to ask a GPU would make the host wait.
            self._group = torch.distributed.new_group(backend="gloo")
        if threading.current_thread() is threading.main_thread():
            heard = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
            self._earlier = {number: signal.signal(number, self._note) for number in heard}

    def stop(self) -> None:
        """Leave signals to whoever had them before."""
        for number, handler in self._earlier.items():
            signal.signal(number, handler)
        self._earlier = {}

    def agreed(self) -> int:
        """Return the number of a signal that any rank received, 0 for none; asked by every rank."""
        if self._group is None:
            return self._received
        received = torch.tensor(self._received)
        torch.distributed.all_reduce(received, torch.distributed.ReduceOp.MAX, self._group)
        return int(received)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._received:
            self.stop()
            signal.raise_signal(number)
            return
        self._received = number
        log.warning(
            "%s: ends after this update, its state saved; a second signal ends at once",
            signal.Signals(number).name,
        )
