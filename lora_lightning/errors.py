"""What the commands turn into one line: bad input, an interruption, a fault of the disk."""

import argparse
import errno
import io
import os
import re
import shutil
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

TRACEBACK = "LORA_LIGHTNING_TRACEBACK"  # set where the user wants tracebacks of bad input


SECRET = re.compile(r"_KEY$|_TOKEN$|PASSWORD")  # names of environment variables
SHORTEST_SECRET = 8  # a shorter value would be found in innocent words
CONTROLS = {
    code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"
}


class InputError(Exception):
    """Something that the user gave is wrong.

    The message names the file, line or config key, what was found, and what to do. The commands
    print it as one line and end with exit code 1; everything else keeps its traceback. As it holds
    what was found, it is made `presentable`.
    """

    def __init__(self, message: str) -> None:
        super().__init__(presentable(message))


def presentable(text: str) -> str:
    """Return a text for terminals and files: without control characters, and without secrets."""
    return without_secrets(printable(text))


def printable(text: str) -> str:
    """Return a text with its control characters, but for line feed and tab, shown as escapes.

    A terminal would obey them.
    """
    return text.translate(CONTROLS)


def without_secrets(text: str) -> str:
    """Return a text without the secrets of the environment, and of URLs that it holds."""
    for name, value in os.environ.items():
        if SECRET.search(name) and len(value) >= SHORTEST_SECRET:
            text = text.replace(value, f"<{name}>")
    return re.sub(r"(\w://)[^\s/@]+@|(https?://[^\s?'\"]+\?)[^\s'\"]+", r"\1\2…", text)


class ProgramArguments(argparse.ArgumentParser):
    """Arguments of a program, described by its module's docstring; a wrong one is bad input."""

    def __init__(self, description: str | None = None, **further: Any) -> None:
        super().__init__(
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            **further,
        )

    def error(self, message: str) -> NoReturn:
        """Raise an `InputError` in place of argparse's two lines and exit code 2."""
        raise InputError(f"{message}; see --help")


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Context of a program, which bad input or a fault of files ends with one line, exit code 1."""
    try:
        yield
    except InputError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        if (fault := disk_fault(error)) is None:
            raise
        sys.exit(f"error: {fault}")


def one_line(text: str) -> str:
    """Return a text of several lines as one."""
    return "; ".join(" ".join(line.split()) for line in text.strip().splitlines() if line.strip())


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's text, or its class where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


class Interrupted(BaseException):
    """A signal ended the command.

    No `Exception`, so that no library takes it for a fault to go on after. The commands print the
    message as one line and end with the exit code that shells give to a process ended by that
    signal, 128 + its number.

    Args:
        message: what ended where, and how to go on; empty where the command has to say it.
        number: of the signal.
    """

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.number = signal.Signals(number)
        self.exit_code = 128 + self.number


def end_interrupted(interruption: Interrupted, advice: str) -> NoReturn:
    """End the process as one that the signal ended: one line, and the exit code of shells.

    Args:
        interruption: of the signal.
        advice: how to go on.
    """
    message = str(interruption) or f"{interruption.number.name} ended the command"
    sys.stderr.write(f"{message}; {advice}\n")
    sys.exit(interruption.exit_code)


# What a disk says without naming a file: full, over a quota, over the limit of a file's size.
DISK_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def disk_fault(error: OSError) -> str | None:
    """Return one line for a fault of the file system: the path, the reason, and what to do.

    Returns:
        None where the error is about something else, such as a connection.
    """
    if error.filename is None and error.errno not in DISK_FAULTS:
        return None
    path = os.fsdecode(error.filename or _written(error) or os.getcwd())
    reason = error.strerror or type(error).__name__
    return presentable(f"{path}: {reason} ({_mend(error.errno, Path(path).absolute())})")


def _mend(number: int | None, path: Path) -> str:
    """Return what to do about a fault; for one of space, what is free."""
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "give another path, or the right to it"
    if number in (errno.EEXIST, errno.ENOTDIR):
        files = (place for place in (path, *path.parents) if os.path.isfile(place))
        return f"{next(files, path)} is a file, and not a folder; give another path"
    if number == errno.EISDIR:
        return "is a folder, and not a file; give another path"
    if number == errno.ENAMETOOLONG:
        return "give a shorter name"
    # os.path.exists, unlike Path.exists, never raises.
    existing = next(place for place in (path, *path.parents) if os.path.exists(place))
    return f"{shutil.disk_usage(existing).free / 1e6:,.0f} MB free"


def _written(error: OSError) -> str | None:
    """Return the file that was written to, which Python names only where one cannot be opened."""
    for frame, _ in reversed(list(traceback.walk_tb(error.__traceback__))):
        for value in frame.f_locals.values():
            name = getattr(value, "name", None) if isinstance(value, io.IOBase) else None
            if isinstance(name, str | os.PathLike) and not str(name).startswith("<"):
                return os.fspath(name)
    return None
