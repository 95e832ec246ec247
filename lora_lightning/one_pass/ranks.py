"""What the processes of a pass agree on: who begins, who has place, and that none fails alone.

Each of them has all jobs, and comes to their collectives in one order: between two of these a job
validates or decodes its own rank's share, of whatever size, and then waits until all have. A job
that failed on one rank alone would leave the others waiting, so the pass ends.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed
from hydra.core.hydra_config import HydraConfig

from lora_lightning.checkpoints.signals import noted_by_trainings
from lora_lightning.errors import InputError, first_line
from lora_lightning.process.ranks import missing_ranks, named
from lora_lightning.runs.trial import PrunedError

ANSWER = timedelta(seconds=20)  # in which a job that fails on all ranks has failed on each
PATIENCE = timedelta(minutes=30)  # with what rank 0 does alone, as scoring


class Ranks:
    """This process among those of a pass; made by all of them, once they are connected."""

    def __init__(self) -> None:
        is_alone = not (torch.distributed.is_available() and torch.distributed.is_initialized())
        self.rank = 0 if is_alone else torch.distributed.get_rank()
        self.size = 1 if is_alone else torch.distributed.get_world_size()
        if self.size > 1:
            self._store = torch.distributed.distributed_c10d._get_default_store()
            self._group = torch.distributed.new_group(backend="gloo")
        self._begun: set[int] = set()
        self._failed_alone: str | None = None

    def all_have(self, place: bool) -> bool:
        """Whether every rank has place for one more job; asked by all at once."""
        if self.size == 1:
            return place
        agreed = torch.tensor(int(place))
        torch.distributed.all_reduce(agreed, torch.distributed.ReduceOp.MIN, self._group)
        return bool(agreed)

    @contextmanager
    def job(self, number: int) -> Iterator[None]:
        """Context in which a job runs: where rank 0 begins it, and until it has left every rank.

        A signal is noted, as long as any job trains: those that train agree on it.

        Raises:
            InputError: rank 0 did not begin it.
        """
        if self.size == 1:
            yield
            return
        self._begin(number)
        failure: Exception | None = None
        try:
            with noted_by_trainings():
                yield
        except PrunedError:
            raise
        except Exception as error:
            failure = error
            raise
        finally:
            self._leave(number, failure)

    def ended(self, number: int) -> None:
        """Take note that a job has ended here.

        Raises:
            SystemExit: on this rank alone, while others wait for it.
        """
        if self.size == 1:
            return
        if number not in self._begun and self.rank == 0:
            self._store.set(_begins(number), "no")
        elif number not in self._begun:
            self._failed_alone = f"a job did not begin on rank {self.rank}"
        if self._failed_alone is not None:
            raise SystemExit(f"error: {self._failed_alone}; the pass ends with it")

    def _begin(self, number: int) -> None:
        self._begun.add(number)
        if self.rank == 0:
            self._store.set(_begins(number), "yes")
            return
        self._store.wait([_begins(number)], PATIENCE)
        if self._store.get(_begins(number)) != b"yes":
            raise InputError("rank 0 did not begin this job")

    def _leave(self, number: int, failure: Exception | None) -> None:
        """Say that a job ends here, and where it failed, wait until it has everywhere."""
        patience = timedelta(0) if failure is None else ANSWER
        missing = missing_ranks(f"one pass/{number}", patience)
        if failure is not None and missing:
            self._failed_alone = (
                f"job {HydraConfig.get().job.num} failed on rank {self.rank} and not on "
                f"{named(missing)} ({first_line(failure)})"
            )


def _begins(number: int) -> str:
    return f"one pass/{number} begins"
