"""Jobs that take turns in one thread: one runs until it asks for something, then another.

A job is a greenlet, so its code needs to know nothing of it: signals, children and the threads of
products are the process's, as where the job is alone.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Generic, TypeVar

from greenlet import getcurrent, greenlet

from lora_lightning.one_pass.process_state import ProcessState, unchanged_by_jobs

Result = TypeVar("Result")


class Turns(Generic[Result]):
    """One job's turns.

    Args:
        run: the job; it may call `ask`.

    Attributes:
        request: what it asked for and waits for; None before it began and after it ended.
        result: what it returned.
        state: of the process while it runs.
    """

    def __init__(self, run: Callable[[], Result]) -> None:
        self._greenlet = greenlet(run)
        self.request: Any = None
        self.result: Result | None = None
        self.state = ProcessState()

    @property
    def has_ended(self) -> bool:
        """Whether it has returned, or raised."""
        return bool(self._greenlet.dead)

    def random_numbers(self) -> AbstractContextManager[None]:
        """Return a context in which torch draws the job's random numbers."""
        return self.state.random_numbers()

    def begin(self) -> None:
        """Let it run until it asks for something or ends.

        Raises:
            BaseException: what ended it.
        """
        self._run(self._greenlet.switch)

    def answer(self, answer: Any) -> None:
        """Give it what it asked for, and let it go on as `begin`."""
        self._run(lambda: self._greenlet.switch(answer))

    def fail(self, error: BaseException) -> None:
        """Raise an error where it asked, and let it go on as `begin`."""
        self._run(lambda: self._greenlet.throw(error))

    def _run(self, switch: Callable[[], Any]) -> None:
        outside = ProcessState()
        self.state.restore()
        self.request = None
        try:
            given = switch()
        finally:
            self.state = ProcessState()
            outside.restore()
            if self.has_ended:
                self._close_log(outside)
        if self.has_ended:
            self.result = given
        else:
            self.request = given

    def _close_log(self, outside: ProcessState) -> None:
        for handler in self.state.handlers:
            if handler not in outside.handlers:
                handler.close()


def ask(request: Any) -> Any:
    """End the turn of the job that calls this, and return the answer when its next one comes."""
    whoever_answers = getcurrent().parent
    assert whoever_answers is not None
    with unchanged_by_jobs():
        return whoever_answers.switch(request)
