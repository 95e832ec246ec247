"""Whom a command trusts: what its user says now, never what a folder says."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lora_lightning.config.own import user_folder
from lora_lightning.errors import InputError

TRUST = "LORA_LIGHTNING_TRUST"  # set for the processes that a command with trust=true starts
SWITCH = "trust=true"


@dataclass(frozen=True)
class Trust:
    """What may be taken from folders that others wrote.

    Attributes:
        everything: whether any class, program and link is taken; else those that are allowed.
        user_folder: where the user's own modules lie.
        otherwise: what to do about what is not taken, for messages.
    """

    everything: bool
    user_folder: Path
    otherwise: str = f"give it anew, or {SWITCH} if you trust who wrote this"


def switch_for(check: Callable[[Trust], None], user_folder: Path) -> str:
    """Return what a command line needs besides to take a folder: nothing, or ` trust=true`.

    Args:
        check: of the folder; it raises where the folder is not taken.
        user_folder: where the user's own modules lie.
    """
    try:
        check(Trust(False, user_folder.absolute()))
    except InputError:
        return f" {SWITCH}"
    return ""


def trust_of(everything: bool, user_dir: str | None = None) -> Trust:
    """Return whom this command trusts, and put the user's own modules on the import path.

    The processes that it starts, such as a sweep's jobs, trust the same until it ends.

    Args:
        everything: `trust=` of the command.
        user_dir: `paths.user_dir` as the command line gives it; None: as `configs/` has it.
    """
    folder = user_folder(user_dir)
    import_from(folder)
    if everything:
        os.environ[TRUST] = "1"
    return Trust(TRUST in os.environ, folder)


@contextmanager
def trusted_no_longer() -> Iterator[None]:
    """Context of a command, after which this process trusts what it trusted before."""
    before = os.environ.get(TRUST)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(TRUST, None)


def import_from(folder: Path) -> None:
    """Put the user's folder on the import path, last, so that it hides no other package."""
    if folder.is_dir() and str(folder) not in sys.path:
        sys.path.append(str(folder))


def without_trust(arguments: list[str]) -> tuple[list[str], bool]:
    """Return a command line without `trust=`, which nothing records, and what it says.

    Raises:
        InputError: it says neither true nor false.
    """
    given = [a for a in arguments if a.lstrip("+").partition("=")[0] == "trust"]
    for argument in given:
        if argument.partition("=")[2].lower() not in ("true", "false"):
            raise InputError(f"{argument}: allowed is true | false")
    kept = [argument for argument in arguments if argument not in given]
    return kept, bool(given) and given[-1].partition("=")[2].lower() == "true"
