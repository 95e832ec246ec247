"""Texts of several decodings by one search over their base."""

import logging
from collections.abc import Iterator, Sequence
from typing import Any

from lora_lightning.decoding.beam import NonFiniteLogitsError
from lora_lightning.decoding.hypotheses import Hypothesis
from lora_lightning.decoding.runner import decode_contexts, search_all
from lora_lightning.decoding.schedule import automatic_batch_size
from lora_lightning.errors import first_line
from lora_lightning.methods.inject import merged_copy
from lora_lightning.one_pass.job import Job
from lora_lightning.one_pass.joint_model import JointReader, Owners, frame_of, joint_model
from lora_lightning.one_pass.requests import Decoding, NextText

log = logging.getLogger(__name__)
GO_BY_THEMSELVES = "one pass      %d jobs together failed (%s): now each by itself"
Found = tuple[int, list[Hypothesis]]


class Searches:
    """Finds what decodings wait for: those that search alike, over one base, in one batch."""

    def __init__(self) -> None:
        self._running: _Search | None = None

    def next(self, jobs: Sequence[Job[Any]]) -> tuple[Job[Any], Found | Exception]:
        """Return the next text of any of the jobs, or the error with which its search ended.

        Args:
            jobs: all that wait for a text.
        """
        job_of = {_decoding_of(job): job for job in jobs}
        if self._running is None or job_of.keys().isdisjoint(self._running.decodings):
            first, *others = job_of
            alike = [other for other in others if _key(other) == _key(first)]
            self._running = _Search([first, *alike])
        try:
            decoding, found = next(self._running)
            while decoding not in job_of:  # its job ended before its texts did
                decoding, found = next(self._running)
        except NonFiniteLogitsError as error:
            decoding, number = self._running.owner(error.query)
            self._running = None
            return job_of[decoding], NonFiniteLogitsError(number, error.step)
        except Exception as error:
            decodings = [d for d in self._running.decodings if d in job_of]
            self._running = None
            if len(decodings) == 1:
                return job_of[decodings[0]], error
            log.warning(GO_BY_THEMSELVES, len(decodings), first_line(error))
            for decoding in decodings:
                decoding.is_alone = True
            return self.next(jobs)
        decoding.left.remove(found[0])
        return job_of[decoding], found


class _Search:
    """One search for the texts that decodings have left."""

    def __init__(self, decodings: Sequence[Decoding]) -> None:
        self.decodings = decodings
        self._owners = [(d, number) for d in decodings for number in d.left]
        self._found = _search(decodings)

    def owner(self, query: int) -> tuple[Decoding, int]:
        """Return whose a query of the search is, and which one."""
        return self._owners[query]

    def __next__(self) -> tuple[Decoding, Found]:
        with self.decodings[0].precision.set():
            query, hypotheses = next(self._found)
        decoding, number = self._owners[query]
        return decoding, (number, hypotheses)


def _search(decodings: Sequence[Decoding]) -> Iterator[Found]:
    """Search for what decodings that are alike have left, numbered through."""
    first = decodings[0]
    queries = [d.queries[number] for d in decodings for number in d.left]
    settings, size, memory = first.settings, first.batch_size, first.max_memory
    if len(decodings) == 1:
        merged = merged_copy(first.model)
        yield from decode_contexts(merged, queries, settings, size, memory, first.packing)
        return
    if size == "auto":
        size = automatic_batch_size(first.model, max(map(len, queries)), settings, memory)
    owner_of = [number for number, d in enumerate(decodings) for _ in d.left]
    owners = Owners()
    model = joint_model([d.model for d in decodings], owners, first.precision)
    reader = JointReader(model, owners, owner_of, first.packing)
    yield from search_all(reader, queries, settings, size)


def _key(decoding: Decoding) -> tuple[Any, ...]:
    """Return what decodings have in common that go together."""
    if decoding.is_alone or (frame := frame_of(decoding.model)) is None:
        return (id(decoding),)
    search = decoding.settings, decoding.batch_size, decoding.max_memory, decoding.packing
    return *search, decoding.precision, frame


def _decoding_of(job: Job[Any]) -> Decoding:
    assert isinstance(job.request, NextText)
    return job.request.decoding
