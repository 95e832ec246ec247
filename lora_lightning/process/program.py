"""How every program starts and ends: its words, its parent, signals, and errors as one line."""

from collections.abc import Iterator
from contextlib import contextmanager

from lora_lightning.errors import Interrupted, end_interrupted, one_line_errors
from lora_lightning.process.parent import end_with_parent
from lora_lightning.process.signals import ended_by_signals
from lora_lightning.process.terminal import speak_plainly


@contextmanager
def as_program() -> Iterator[None]:
    """Context of a program, which a signal, bad input or a fault of files ends with one line."""
    speak_plainly()
    end_with_parent()
    with ended_by_signals(), one_line_errors():
        try:
            yield
        except Interrupted as interruption:
            end_interrupted(interruption, "start it again")
