"""Waiting for the other ranks of a decoding, whose shares may take longer."""

import time
from datetime import timedelta
from pathlib import Path

import torch.distributed

from lora_lightning.errors import InputError

POLL_SECONDS = 0.05
PATIENCE = timedelta(minutes=30)  # how long torch's own collectives wait


def wait_for_ranks(folder: Path, patience: timedelta = PATIENCE) -> None:
    """Wait until every rank has decoded its share into `folder`; at once where there is one.

    Unlike a barrier of torch it can be interrupted by a signal, and says who did not come.

    Args:
        folder: of the predictions; waited for once.
        patience: how long to wait for the others.

    Raises:
        InputError: a rank did not come.
    """
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()):
        return
    store = distributed.distributed_c10d._get_default_store()
    missing = list(range(distributed.get_world_size()))
    store.set(f"{folder}/{distributed.get_rank()}", "")
    deadline = time.monotonic() + patience.total_seconds()
    while missing := [rank for rank in missing if not store.check([f"{folder}/{rank}"])]:
        if time.monotonic() > deadline:
            ranks = " and ".join(f"rank {rank}" for rank in missing)
            raise InputError(
                f"{folder}: {ranks} did not end within {patience} after this one; look why, and "
                "start again: what is decoded stays"
            )
        time.sleep(POLL_SECONDS)
