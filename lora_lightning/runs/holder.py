"""A folder belongs to one command at a time, and whoever comes second learns to whom."""

import os
import platform
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lora_lightning.config.typed import for_shell
from lora_lightning.errors import InputError
from lora_lightning.files import read_json, write_json
from lora_lightning.process import process_rank
from lora_lightning.runs.claim import claimed

HOLDER = ".holder.json"  # beside the lock, which alone decides; this only says whose it is


@contextmanager
def held_by_this_command(folder: Path, writes: bool = True) -> Iterator[None]:
    """Keep other commands from writing into `folder`; rank 0 does it for all.

    Args:
        folder: is made where it is missing.
        writes: whether this command writes into it; otherwise nothing is done.

    Raises:
        InputError: another command holds it; the message says which.
    """
    if process_rank() > 0 or not writes:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as claim:
        try:
            claim.enter_context(claimed(folder))
        except InputError:
            raise InputError(
                f"{folder}: {_holder(folder)} writes into it; wait for it, end it, or give this "
                "command another output_dir=… or name=…"
            ) from None
        write_json(folder / HOLDER, _this_command())
        claim.callback((folder / HOLDER).unlink, missing_ok=True)
        yield


def _this_command() -> dict[str, str | int]:
    command = for_shell(Path(sys.argv[0]).name, *sys.argv[1:])
    return {"process": os.getpid(), "host": platform.node(), "command": command}


def _holder(folder: Path) -> str:
    """Return who holds `folder`, as far as it says."""
    try:
        holder = read_json(folder / HOLDER)
        return f"process {holder['process']} on {holder['host']} ({holder['command']})"
    except (InputError, KeyError, TypeError):
        return "another process"
