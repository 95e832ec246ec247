"""Writing folders safely."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary sibling that takes the name of `folder` when the block ends well.

    Where `folder` exists, the files of the block take the place of their namesakes, one at a time
    in the order of their names, and everything else in it stays.
    """
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    temporary.mkdir(parents=True)
    try:
        yield temporary
        if folder.exists():
            for file in sorted(temporary.iterdir()):
                file.replace(folder / file.name)
        else:
            temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
