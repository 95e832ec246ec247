"""A folder belongs to one process at a time."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lora_lightning.errors import InputError


def is_running(folder: Path) -> bool:
    """Whether a process trains in `folder` now, as far as the file system can tell."""
    try:
        with claimed(folder):
            return False
    except InputError:
        return True


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Keep other processes from training in `folder`; the claim ends with this process.

    Raises:
        InputError: another process has it.
    """
    if sys.platform == "win32":  # which has no locks of this kind
        yield
        return
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise InputError(f"{folder}: another process trains in it; wait for it or end it") from None
    except OSError:  # a file system without locks
        pass
    try:
        yield
    finally:
        os.close(descriptor)
