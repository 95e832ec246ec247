"""Jobs that go side by side: each in its own turns, their passes over the base together.

A training asks twice in a micro-batch: for the hidden states of its rows, and for the gradient of
its loss. A decoding asks for one text after another. All else, loss, clipping, optimizer, schedule,
validation, files, is a job's own and happens in its own turn. Who asks at the same time is answered
together, always the same ones in the same order, so that a run that is repeated comes to the same
numbers.
"""

import logging
import signal
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Generic

from lora_lightning.checkpoints.signals import has_noted_signal, noted_by_trainings
from lora_lightning.errors import Interrupted, first_line
from lora_lightning.one_pass.base import SharedBase
from lora_lightning.one_pass.forwards import Forwards, backward
from lora_lightning.one_pass.job import Job, Result
from lora_lightning.one_pass.ranks import Ranks
from lora_lightning.one_pass.requests import Backward, Forward, Meeting, NextText
from lora_lightning.one_pass.room import Room
from lora_lightning.one_pass.searches import GO_BY_THEMSELVES, Searches
from lora_lightning.one_pass.seat import OwnSeat

log = logging.getLogger(__name__)
TOKENS_AT_ONCE = 4096
"""Of one joined pass on a CPU. More gain nothing there, and leave its caches."""


class Pass(Generic[Result]):
    """Jobs that train or decode side by side over one base.

    Where this process is connected with others, all of them have all jobs, each its share of rows.

    Args:
        jobs: each is called once, in a turn of its own, and returns its result.
        at_once: how many live at a time; the next one begins where one ended. None: all.
        rounds: micro-batches that the jobs have had together in an earlier pass.
        memory: bytes for those that live at a time; None: what is free.
    """

    def __init__(
        self,
        jobs: Sequence[Callable[[], Result]],
        at_once: int | None = None,
        rounds: int = 0,
        memory: int | None = None,
    ) -> None:
        self._ranks = Ranks()
        self._rounds = rounds
        self._trained: list[Job[Result]] = []  # in the last of them
        self._waiting = deque(enumerate(jobs))
        self._at_once = at_once or len(jobs)
        self._living: list[Job[Result]] = []
        self._results: dict[int, Result] = {}
        self._room = Room(memory, TOKENS_AT_ONCE, self._ranks.size)
        self._base = SharedBase()
        self._forwards = Forwards()
        self._searches = Searches()
        self._ending: BaseException | None = None

    def run(self) -> list[Result]:
        """Run all jobs to their end, and return their results in order.

        Raises:
            BaseException: what ended the process in one of them, such as SystemExit, once the
                others have ended, too: a training between two updates, with its state saved.
        """
        try:
            with noted_by_trainings():
                while self._waiting or self._living:
                    self._begin_jobs()
                    self._round()
        except BaseException as error:  # a signal, while the pass itself computed
            self._ending = self._ending or error
            self._end_all(error)
        if self._ending is not None:
            raise self._ending
        return [self._results[number] for number in sorted(self._results)]

    def _begin_jobs(self) -> None:
        if self._ranks.size > 1 and not all(job.is_in_step for job in self._living):
            return
        while self._waiting and self._has_place() and self._ending is None:
            number, run = self._waiting.popleft()
            seat = OwnSeat(self._base, has_ranks=self._ranks.size > 1)
            job = Job(number, seat, run, partial(self._ranks.job, number))
            self._living.append(job)
            self._turn(job, job.turns.begin)
        if self._ending is not None:
            self._waiting.clear()

    def _has_place(self) -> bool:
        reserved = [job.seat.reserved for job in self._living]
        trainings = [one for one in reserved if one is not None]
        if len(self._living) >= self._at_once:
            return False
        return not self._living or self._ranks.all_have(self._room.has_place(trainings))

    def _turn(self, job: Job[Result], turn: Callable[[], None]) -> None:
        """Let a job go on until it asks for something or ends."""
        try:
            turn()
        except BaseException as error:
            self._ending = self._ending or error
            self._leave(job)
            self._end_unsaved(error)
            return
        if job.turns.has_ended:
            assert job.turns.result is not None
            self._results[job.number] = job.turns.result
            self._leave(job)
            self._ranks.ended(job.number)
        elif isinstance(job.request, Forward):
            job.has_trained |= job.request.is_training

    def _leave(self, job: Job[Result]) -> None:
        if job in self._living:
            self._living.remove(job)
        self._forwards.forget()

    def _end_unsaved(self, error: BaseException) -> None:
        """End those that will not end by themselves: only a training has noted a signal."""
        for job in list(self._living):
            if not (job.has_trained and has_noted_signal()):
                self._end(job, error)

    def _end_all(self, error: BaseException) -> None:
        for job in list(self._living):
            self._end(job, error)

    def _end(self, job: Job[Result], error: BaseException) -> None:
        if job not in self._living or job.request is None:  # ended, or its turn is the one now
            return
        self._living.remove(job)
        try:
            job.turns.fail(Interrupted("", _signal_of(error)))
        except BaseException as end:  # which has said how to go on
            log.debug("job %d ended: %r", job.number, end)
            self._ending = end if isinstance(self._ending, Interrupted) else self._ending

    def _round(self) -> None:
        """Answer what every job waits for; trainings last, so that they meet again.

        What ranks have other numbers of comes first, so that then all of them stand alike.
        """
        if decoding := [job for job in self._living if isinstance(job.request, NextText)]:
            self._answer_text(decoding)
            return
        forward = {job: job.request for job in self._living if isinstance(job.request, Forward)}
        validating = [job for job, request in forward.items() if not request.is_training]
        before = validating or [job for job, request in forward.items() if not request.is_last]
        meeting = [job for job in self._living if isinstance(job.request, Meeting)]
        if meeting and not before:
            for job in meeting:
                if job in self._living:
                    self._turn(job, partial(job.turns.answer, None))
            return
        if not before:
            self._count_round(list(forward))
        for group in self._groups(before or list(forward)):
            self._answer(group, self._forwards.hidden_states)
            asking = [job for job in group if isinstance(job.request, Backward)]
            if asking:
                self._answer(asking, backward)

    def _count_round(self, jobs: list[Job[Result]]) -> None:
        """Begin a micro-batch of all; it is a place to go on from where the others have changed."""
        self._rounds += 1
        for job in jobs:
            job.seat.round = self._rounds
            job.seat.is_save_due |= bool(self._trained) and jobs != self._trained
        self._trained = jobs

    def _groups(self, jobs: list[Job[Result]]) -> list[list[Job[Result]]]:
        """Divide jobs into those whose rows go through the base together."""
        groups: list[list[Job[Result]]] = []
        tokens = 0
        for job in jobs:
            request = job.request
            assert isinstance(request, Forward)
            own = len(request.rows.input_ids)
            is_full = request.wanted.device.type == "cpu" and tokens + own > TOKENS_AT_ONCE
            if not groups or is_full:
                groups.append([])
                tokens = 0
            groups[-1].append(job)
            tokens += own
        return groups

    def _answer_text(self, jobs: list[Job[Result]]) -> None:
        """Give one of the jobs the next text, or the error that its search ended with."""
        job, answer = self._searches.next(jobs)
        if isinstance(answer, Exception):
            self._turn(job, partial(job.turns.fail, answer))
        else:
            self._turn(job, partial(job.turns.answer, answer))

    def _answer(
        self, group: list[Job[Result]], compute: Callable[[list[Job[Result]]], Sequence[object]]
    ) -> None:
        random = [job.turns.state.of_torch for job in group]
        try:
            answers = compute(group)
        except Exception as error:
            if len(group) > 1 and compute == self._forwards.hidden_states:
                log.warning(GO_BY_THEMSELVES, len(group), first_line(error))
                for job, numbers in zip(group, random, strict=True):
                    job.turns.state.of_torch = numbers
                for job in group:
                    self._answer([job], compute)
                return
            for job in group:
                self._turn(job, partial(job.turns.fail, error))
            return
        for job, answer in zip(group, answers, strict=True):
            if job in self._living:
                self._turn(job, partial(job.turns.answer, answer))


def _signal_of(error: BaseException) -> int:
    """Return the signal that ended a job, or what stands for another end."""
    code = getattr(error, "exit_code", getattr(error, "code", None))
    return code - 128 if isinstance(code, int) and code > 128 else signal.SIGTERM
