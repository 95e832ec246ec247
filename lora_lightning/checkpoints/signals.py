"""SIGTERM, SIGUSR1 and Ctrl-C during training: noted at once, obeyed between two updates."""

import logging
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType
from typing import Any

import torch
import torch.distributed

from lora_lightning.process.signals import ONE_WISH_SECONDS, heard_signals

log = logging.getLogger(__name__)


_watches: list["SignalWatch"] = []  # that watch now: several where trainings take turns
_watches_here = ContextVar("_watches_here", default=False)
_earlier: dict[int, Any] = {}
_noted = 0.0  # when a signal came, by the monotonic clock


def has_noted_signal() -> bool:
    """Whether a signal waits to be obeyed by a training of this process."""
    return any(watch.received for watch in _watches)


class SignalWatch:
    """Notes a signal, so that training ends where its state can be saved.

    To end at once would leave half a step. A second signal does it nevertheless, as if nobody had
    watched. Ranks get signals at different times, or only one of them does, so they agree on it.
    Trainings that take turns in one process all note it.
    """

    def __init__(self) -> None:
        self.received = 0
        self._group: Any = None
        self._noted_before = False

    def start(self, world_size: int) -> None:
        """Watch from now on; called by every rank."""
        if world_size > 1 and self._group is None:
            # On the host, whatever the gradients travel by: to ask a GPU would make the host wait.
            self._group = torch.distributed.new_group(backend="gloo")
        if not _watches:
            _earlier.update({n: signal.signal(n, _note) for n in heard_signals()})
        self.received = max((watch.received for watch in _watches), default=self.received)
        _watches.append(self)
        self._noted_before = _watches_here.get()
        _watches_here.set(True)

    def stop(self) -> None:
        """Leave signals to whoever had them before."""
        if self in _watches:
            _watches.remove(self)
            _watches_here.set(self._noted_before)
        if not _watches:
            _restore_handlers()

    def agreed(self) -> int:
        """Return the number of a signal that any rank received, 0 for none; asked by every rank."""
        if self._group is None:
            return self.received
        received = torch.tensor(self.received)
        torch.distributed.all_reduce(received, torch.distributed.ReduceOp.MAX, self._group)
        if received and not self.received:  # it is meant for the other trainings here as well
            for watch in _watches:
                watch.received = int(received)
        return int(received)


@contextmanager
def noted_by_trainings() -> Iterator[None]:
    """Context of what computes for trainings that take turns, which note the signals."""
    token = _watches_here.set(True)
    try:
        yield
    finally:
        _watches_here.reset(token)


def _note(number: int, frame: FrameType | None) -> None:
    """Note a signal for all trainings; a job that trains no more, or not yet, hears it at once."""
    global _noted
    is_again = has_noted_signal()
    if is_again and time.monotonic() - _noted < ONE_WISH_SECONDS:
        return
    if is_again:
        _watches.clear()
        _restore_handlers()
        signal.raise_signal(number)
        return
    _noted = time.monotonic()
    for watch in _watches:
        watch.received = number
    log.warning(
        "%s: ends after this update, its state saved; a second signal ends at once",
        signal.Signals(number).name,
    )
    if not _watches_here.get() and callable(earlier := _earlier.get(number)):
        earlier(number, frame)


def _restore_handlers() -> None:
    while _earlier:
        signal.signal(*_earlier.popitem())
