"""SIGTERM, SIGUSR1 and Ctrl-C end a command in order, from its first moment to its last."""

import atexit
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import FrameType
from typing import Any

from lora_lightning.errors import Interrupted
from lora_lightning.process.early import SIGNALS, heard_signals
from lora_lightning.process.parent import is_rank_of_lightning

# A terminal, `timeout` and a launcher signal a process and its group, so one wish comes twice.
ONE_WISH_SECONDS = 2.0
ONCE_MORE_SECONDS = 0.01
STUCK_SECONDS = 10.0  # in which the main thread comes back from any computation


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Context in which a signal raises `Interrupted` wherever the main thread stands.

    A second one ends the process at once, and so does the first where the main thread does not come
    back to Python, as in a collective that waits for a rank that is gone. A rank that Lightning
    started passes the signal on to the process that started it, as all ranks end together.

    Raises:
        Interrupted: a signal came.
    """
    received = 0.0  # when, by the monotonic clock

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal received
        if received and time.monotonic() - received < ONE_WISH_SECONDS:
            return
        if received:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        received = time.monotonic()
        if is_rank_of_lightning():
            os.kill(os.getppid(), number)
        raise Interrupted("", number)

    def raise_again(unraisable: Any) -> None:
        """Raise the interruption once more where it fell into code that drops exceptions."""
        nonlocal received
        if isinstance(unraisable.exc_value, Interrupted):
            received = 0.0
            number = unraisable.exc_value.number
            threading.Timer(ONCE_MORE_SECONDS, os.kill, (os.getpid(), number)).start()
        else:
            report(unraisable)

    def end_stuck(number: int) -> None:
        """End the process, unless the main thread has heard the signal or obeys it later."""
        time.sleep(STUCK_SECONDS)
        if not received and signal.getsignal(number) is interrupt:
            name = signal.Signals(number).name
            sys.stderr.write(f"{name} ended the command while it waited; start it again\n")
            sys.stderr.flush()
            os._exit(128 + number)

    report = sys.unraisablehook
    earlier = {number: signal.signal(number, interrupt) for number in heard_signals()}
    sys.unraisablehook = raise_again if earlier else report
    try:
        with told_by_thread(end_stuck) if earlier else nullcontext():
            yield
    finally:
        sys.unraisablehook = report
        for number, handler in earlier.items():
            signal.signal(number, handler)
        atexit.unregister(_end_undisturbed)
        atexit.register(_end_undisturbed)  # as the last, so that it runs before other libraries'


def _end_undisturbed() -> None:
    """Let a process that ends by itself say nothing more, and only a second signal end it sooner.

    What libraries do at the end of a process would print where a signal met it, and log statistics.
    """
    logging.disable()

    def wait_for_end(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)

    for number in heard_signals():
        signal.signal(number, wait_for_end)


@contextmanager
def told_by_thread(tell: Callable[[int], None]) -> Iterator[None]:
    """Context in which a thread calls `tell` with each of our signals, whatever the others do."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)

    def listen() -> None:
        while numbers := os.read(reading, 1):
            if numbers[0] in SIGNALS:
                tell(numbers[0])
        os.close(reading)

    earlier = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    threading.Thread(target=listen, name=told_by_thread.__name__, daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(earlier)
        os.close(writing)
