"""SIGTERM, SIGUSR1 and Ctrl-C during training: noted at once, obeyed between two updates."""

import logging
import signal
import time
from types import FrameType
from typing import Any

import torch
import torch.distributed

from lora_lightning.process.signals import ONE_WISH_SECONDS, heard_signals

log = logging.getLogger(__name__)


class SignalWatch:
    """Notes a signal, so that training ends where its state can be saved.

    To end at once would leave half a step. A second signal does it nevertheless, as if nobody had
    watched. Ranks get signals at different times, or only one of them does, so they agree on it.
    """

    def __init__(self) -> None:
        self._received = 0
        self._noted = 0.0  # when, by the monotonic clock
        self._earlier: dict[int, Any] = {}
        self._group: Any = None

    def start(self, world_size: int) -> None:
        """Watch from now on; called by every rank."""
        if world_size > 1 and self._group is None:
            # On the host, whatever the gradients travel by: to ask a GPU would make the host wait.
            self._group = torch.distributed.new_group(backend="gloo")
        self._earlier = {number: signal.signal(number, self._note) for number in heard_signals()}

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
        if self._received and time.monotonic() - self._noted < ONE_WISH_SECONDS:
            return
        if self._received:
            self.stop()
            signal.raise_signal(number)
            return
        self._received, self._noted = number, time.monotonic()
        log.warning(
            "%s: ends after this update, its state saved; a second signal ends at once",
            signal.Signals(number).name,
        )
