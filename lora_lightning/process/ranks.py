"""Who of a command's ranks is still there: asked of the store, which needs no collective.

A collective that a rank does not join ends after half an hour with an error that names nobody, and
hears no signal meanwhile.
"""

import time
from datetime import timedelta

import torch.distributed

POLL_SECONDS = 0.05


def missing_ranks(place: str, patience: timedelta) -> list[int]:
    """Say that this rank has come to a place, and return who has not come there in time.

    Args:
        place: the name, the same in every rank; each is waited at once in a process's life.
        patience: how long to wait for the others.

    Returns:
        The ranks that have not come; none where there is one process.
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return []
    store = torch.distributed.distributed_c10d._get_default_store()
    missing = list(range(torch.distributed.get_world_size()))
    store.set(f"{place}/{torch.distributed.get_rank()}", "")
    deadline = time.monotonic() + patience.total_seconds()
    while missing := [rank for rank in missing if not store.check([f"{place}/{rank}"])]:
        if time.monotonic() > deadline:
            break
        time.sleep(POLL_SECONDS)
    return missing


def named(ranks: list[int]) -> str:
    """Return ranks as words of a sentence."""
    return " and ".join(f"rank {rank}" for rank in ranks)
