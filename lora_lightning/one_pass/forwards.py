"""Hidden states and gradients of several trainings by one way over their base."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor

from lora_lightning.gpt2.forward import packed_hidden_states
from lora_lightning.one_pass.job import Job
from lora_lightning.one_pass.joint import JointTransformer, Member
from lora_lightning.one_pass.requests import Backward, Forward
from lora_lightning.one_pass.rows import join_rows, starts


class Forwards:
    """Computes what trainings wait for; each set of them has one joint transformer."""

    def __init__(self) -> None:
        self._joined: dict[tuple[Job[Any], ...], JointTransformer] = {}

    def forget(self) -> None:
        """Drop the joint transformers, which hold the models of their jobs."""
        self._joined.clear()

    def hidden_states(self, jobs: Sequence[Job[Any]]) -> Sequence[Tensor]:
        """Return the hidden states that each job asks for."""
        requests = [_forward_of(job) for job in jobs]
        first = requests[0]
        with torch.set_grad_enabled(first.is_training), first.precision.set():
            if len(jobs) == 1:
                with jobs[0].turns.state.random_numbers():
                    rows, wanted = first.rows, first.wanted
                    transformer, how = first.model.transformer, first.execution
                    return [packed_hidden_states(transformer, rows, wanted, how)]
            joint = self._joint(jobs, requests)
            joint.division.set(
                [len(request.rows.input_ids) for request in requests],
                counts := [len(request.wanted) for request in requests],
            )
            before = starts([request.rows for request in requests])
            wanted = torch.cat(
                [request.wanted + start for request, start in zip(requests, before, strict=True)]
            )
            rows = join_rows([request.rows for request in requests])
            contexts = partial(_first_and_again, jobs)
            hidden = packed_hidden_states(joint, rows, wanted, first.execution, contexts)  # type: ignore[arg-type]
            return hidden.split(counts)

    def _joint(self, jobs: Sequence[Job[Any]], requests: Sequence[Forward]) -> JointTransformer:
        key = tuple(jobs)
        if key not in self._joined:
            self._joined[key] = JointTransformer(
                [
                    Member(request.model, job.turns.random_numbers)
                    for job, request in zip(jobs, requests, strict=True)
                ]
            )
        return self._joined[key]


def backward(jobs: Sequence[Job[Any]]) -> Sequence[None]:
    """Add the gradient of each job's loss to what it depends on."""
    losses = [job.request.loss for job in jobs if isinstance(job.request, Backward)]
    torch.autograd.backward(losses)
    return [None] * len(losses)


def _first_and_again(
    jobs: Sequence[Job[Any]],
) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Return the contexts in which a block is computed first, and again in the backward pass."""
    drawn = [job.turns.state.of_torch for job in jobs]
    return nullcontext(), _random_numbers_of_before(jobs, drawn)


@contextmanager
def _random_numbers_of_before(jobs: Sequence[Job[Any]], drawn: Sequence[Any]) -> Iterator[None]:
    """Context in which jobs draw the same random numbers once more, and none of their next."""
    later = [job.turns.state.of_torch for job in jobs]
    _set_random_numbers(jobs, drawn)
    try:
        yield
    finally:
        _set_random_numbers(jobs, later)


def _set_random_numbers(jobs: Sequence[Job[Any]], states: Sequence[Any]) -> None:
    for job, state in zip(jobs, states, strict=True):
        job.turns.state.of_torch = state


def _forward_of(job: Job[Any]) -> Forward:
    assert isinstance(job.request, Forward)
    return job.request
