"""A folder belongs to one process at a time.

The claim is a lock on a hidden file in the folder. It ends with the process that holds it, however
that ends; where the file system has no such locks, a second file says which process holds it.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from lora_lightning.errors import InputError

LOCK = ".lock"
HOLDER = ".lock_holder"  # names the process, where the file system has no locks
FOREVER = -1


def is_running(folder: Path) -> bool:
    """Whether a process trains in `folder` now."""
    if not (folder / LOCK).exists():
        return False
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
    from filelock import Timeout

    try:
        lock = _locked(folder, seconds=0)
    except Timeout:
        raise InputError(f"{folder}: another process trains in it; wait for it or end it") from None
    with lock:
        yield


@contextmanager
def in_turn(folder: Path) -> Iterator[None]:
    """Wait until no other process is in such a block for `folder`, then keep others waiting."""
    with _locked(folder, FOREVER):
        yield


def _locked(folder: Path, seconds: float) -> AbstractContextManager[object]:
    from filelock import FileLock, SoftFileLock, Timeout

    for name in (LOCK, HOLDER):
        if (folder / name).is_symlink():
            raise InputError(f"{folder / name}: is a link, and would be emptied; remove it")
    try:
        return FileLock(folder / LOCK).acquire(seconds)
    except Timeout:
        raise
    except OSError:  # a file system without locks
        return SoftFileLock(folder / HOLDER).acquire(seconds)
