"""What is printed can be read on every terminal, one that knows ASCII alone included."""

import codecs
import io
import os
import shutil
import sys

NAME = "readable"
IN_ASCII = {"…": "...", "→": "->", "·": "|", "±": "+-", "×": "x", "≥": ">=", "≤": "<=", "–": "-",
            "—": "-", "‖": "||", "Δ": "delta ", "√": "sqrt ", "α": "alpha",
            "°": "*", "≠": "!="}  # fmt: skip

NO_TERMINAL = 500  # columns


def speak_plainly() -> None:
    """Let standard output and error write what they cannot encode in ASCII, not fail.

    Our own signs become the like of them, letters of other scripts their escapes.
    """
    codecs.register_error(NAME, _readable)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=NAME)


def _readable(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    plain = (IN_ASCII.get(c) or c.encode("ascii", "backslashreplace").decode() for c in text)
    return "".join(plain), error.end


def terminal_width() -> int:
    """Return the columns of the terminal; where nobody says how many there are, nothing is cut."""
    if sys.stdout.isatty() or "COLUMNS" in os.environ:
        return shutil.get_terminal_size().columns
    return NO_TERMINAL
