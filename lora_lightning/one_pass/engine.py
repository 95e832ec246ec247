"""Trainings that go side by side: each in its own turns, their passes over the base together.

A training asks twice in a micro-batch: for the hidden states of its rows, and for the gradient of
its loss. All else, loss, clipping, optimizer, schedule, validation, files, is its own and happens
in its own turn. Who asks at the same time is answered together, always the same ones in the same
order, so that a run that is repeated comes to the same numbers.
"""

import logging
import signal
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import torch
from torch import Tensor
from transformers import GPT2LMHeadModel

from lora_lightning.checkpoints.signals import has_noted_signal, noted_by_trainings
from lora_lightning.errors import Interrupted
from lora_lightning.gpt2.forward import packed_hidden_states
from lora_lightning.gpt2.rows import PackedRows
from lora_lightning.one_pass.base import SharedBase
from lora_lightning.one_pass.joint import JointTransformer, Member
from lora_lightning.one_pass.precision import Precision
from lora_lightning.one_pass.rows import join_rows, starts
from lora_lightning.one_pass.turns import Turns, ask
from lora_lightning.training.seat import SEAT

log = logging.getLogger(__name__)
Result = TypeVar("Result")
TOKENS_AT_ONCE = 4096
"""Of one joined pass on a CPU. More gain nothing there, and leave its caches."""


@dataclass(frozen=True, eq=False)
class Forward:
    """A wish for hidden states.

    Attributes:
        seat: whose.
        model: its model.
        rows: its micro-batch.
        wanted: positions, (wanted,) int64.
        is_training: whether the gradient will be asked for.
        precision: in which it computes.
    """

    seat: "OwnSeat"
    model: GPT2LMHeadModel
    rows: PackedRows
    wanted: Tensor
    is_training: bool
    precision: Precision


@dataclass(frozen=True, eq=False)
class Backward:
    """A wish for the gradient of a loss, ()."""

    loss: Tensor


class OwnSeat:
    """A training's seat; what it asks for is answered together with the others' wishes."""

    def __init__(self, base: SharedBase) -> None:
        self._base = base
        self.round = 0
        self.is_save_due = False

    def take(self, model: GPT2LMHeadModel, device: torch.device) -> None:
        """Share the frozen tensors that others have as well."""
        self._base.share_with(model, device)

    def hidden_states(self, model: GPT2LMHeadModel, rows: PackedRows, wanted: Tensor) -> Tensor:
        """Return the final hidden states of the wanted positions, (wanted, width)."""
        is_training = torch.is_grad_enabled()
        precision = Precision.now(wanted.device)
        hidden: Tensor = ask(Forward(self, model, rows, wanted, is_training, precision))
        return hidden

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of a loss to what it depends on."""
        ask(Backward(loss))


@dataclass(eq=False)
class _Job(Generic[Result]):
    number: int
    seat: OwnSeat
    turns: Turns[Result]
    has_trained: bool = False

    @property
    def request(self) -> Forward | Backward | None:
        request: Forward | Backward | None = self.turns.request
        return request


class Pass(Generic[Result]):
    """Jobs that train side by side over one base.

    Args:
        jobs: each is called once, in a turn of its own, and returns its result.
        at_once: how many live at a time; the next one begins where one ended. None: all.
        rounds: micro-batches that the jobs have had together in an earlier pass.
    """

    def __init__(
        self, jobs: Sequence[Callable[[], Result]], at_once: int | None = None, rounds: int = 0
    ) -> None:
        self._rounds = rounds
        self._trained: list[_Job[Result]] = []  # in the last of them
        self._waiting = deque(enumerate(jobs))
        self._at_once = at_once or len(jobs)
        self._living: list[_Job[Result]] = []
        self._results: dict[int, Result] = {}
        self._base = SharedBase()
        self._joined: dict[tuple[OwnSeat, ...], JointTransformer] = {}
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
        while self._waiting and len(self._living) < self._at_once and self._ending is None:
            number, run = self._waiting.popleft()
            seat = OwnSeat(self._base)
            job = _Job(number, seat, Turns(partial(_seated, seat, run)))
            self._living.append(job)
            self._turn(job, job.turns.begin)
        if self._ending is not None:
            self._waiting.clear()

    def _turn(self, job: _Job[Result], turn: Callable[[], None]) -> None:
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
        elif isinstance(job.request, Forward):
            job.has_trained |= job.request.is_training

    def _leave(self, job: _Job[Result]) -> None:
        if job in self._living:
            self._living.remove(job)
        self._joined.clear()

    def _end_unsaved(self, error: BaseException) -> None:
        """End those that will not end by themselves: only a training has noted a signal."""
        for job in list(self._living):
            if not (job.has_trained and has_noted_signal()):
                self._end(job, error)

    def _end_all(self, error: BaseException) -> None:
        for job in list(self._living):
            self._end(job, error)

    def _end(self, job: _Job[Result], error: BaseException) -> None:
        if job not in self._living or job.request is None:  # ended, or its turn is the one now
            return
        self._living.remove(job)
        try:
            job.turns.fail(Interrupted("", _signal_of(error)))
        except BaseException as end:
            log.debug("job %d ended: %r", job.number, end)

    def _round(self) -> None:
        """Answer what every job waits for; validations first, so that trainings meet again."""
        forward = [job for job in self._living if isinstance(job.request, Forward)]
        validating = [job for job in forward if not job.request.is_training]  # type: ignore[union-attr]
        if not validating:
            self._count_round(forward)
        for group in self._groups(validating or forward):
            self._answer(group, self._hidden_states)
            asking = [job for job in group if isinstance(job.request, Backward)]
            if asking:
                self._answer(asking, _backward)

    def _count_round(self, jobs: list[_Job[Result]]) -> None:
        """Begin a micro-batch of all; it is a place to go on from where the others have changed."""
        self._rounds += 1
        for job in jobs:
            job.seat.round = self._rounds
            job.seat.is_save_due |= bool(self._trained) and jobs != self._trained
        self._trained = jobs

    def _groups(self, jobs: list[_Job[Result]]) -> list[list[_Job[Result]]]:
        """Divide jobs into those whose rows go through the base together."""
        groups: list[list[_Job[Result]]] = []
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

    def _answer(
        self, group: list[_Job[Result]], compute: Callable[[list[_Job[Result]]], Sequence[object]]
    ) -> None:
        random = [job.turns.state.of_torch for job in group]
        try:
            answers = compute(group)
        except Exception as error:
            if len(group) > 1 and compute == self._hidden_states:  # whose fault is it?
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

    def _hidden_states(self, group: list[_Job[Result]]) -> Sequence[Tensor]:
        requests: list[Forward] = [job.request for job in group]  # type: ignore[misc]
        first = requests[0]
        with torch.set_grad_enabled(first.is_training), first.precision.set():
            if len(group) == 1:
                with group[0].turns.state.random_numbers():
                    rows, wanted = first.rows, first.wanted
                    return [packed_hidden_states(first.model.transformer, rows, wanted)]
            joint = self._joint(group, requests)
            joint.division.set(
                [len(request.rows.input_ids) for request in requests],
                counts := [len(request.wanted) for request in requests],
            )
            before = starts([request.rows for request in requests])
            wanted = torch.cat(
                [request.wanted + start for request, start in zip(requests, before, strict=True)]
            )
            rows = join_rows([request.rows for request in requests])
            hidden = packed_hidden_states(joint, rows, wanted)  # type: ignore[arg-type]
            return hidden.split(counts)

    def _joint(self, group: list[_Job[Result]], requests: list[Forward]) -> JointTransformer:
        seats = tuple(request.seat for request in requests)
        if seats not in self._joined:
            self._joined[seats] = JointTransformer(
                [
                    Member(request.model, job.turns.random_numbers)
                    for job, request in zip(group, requests, strict=True)
                ]
            )
        return self._joined[seats]


def _seated(seat: OwnSeat, run: Callable[[], Result]) -> Result:
    SEAT.set(seat)
    return run()


def _backward(group: list[_Job[Result]]) -> Sequence[None]:
    torch.autograd.backward([job.request.loss for job in group])  # type: ignore[union-attr]
    return [None] * len(group)


def _signal_of(error: BaseException) -> int:
    """Return the signal that ended a job, or what stands for another end."""
    code = getattr(error, "exit_code", getattr(error, "code", None))
    return code - 128 if isinstance(code, int) and code > 128 else signal.SIGTERM
