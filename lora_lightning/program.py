"""What the programs of this package share: their help, their errors, their child processes."""

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lora_lightning.errors import InputError


def run_program(program: Callable[[list[str]], int | None], description: str | None) -> None:
    """Run `program` on this process's arguments; bad input is one line, exit code 1.

    Args:
        program: takes the arguments, and returns the exit code; None is 0.
        description: printed where help is asked for, or nothing is given.
    """
    arguments = sys.argv[1:]
    if not arguments or {"--help", "-h"} & set(arguments):
        sys.stdout.write(f"{description}\n")
        return
    try:
        sys.exit(program(arguments))
    except InputError as error:
        sys.exit(f"error: {error}")


def run_child(
    arguments: Sequence[str],
    environment: Mapping[str, str] | None = None,
    folder: Path | str | None = None,
) -> int:
    """Run a Python command to its own end, and return its exit code.

    Args:
        arguments: of this Python.
        environment: this process's where None.
        folder: where it runs; this process's where None.

    Raises:
        KeyboardInterrupt: Ctrl-C. The terminal interrupts the child as well, which then saves its
            state; `subprocess.run` would kill it after a quarter of a second.
    """
    process = subprocess.Popen([sys.executable, *arguments], env=environment, cwd=folder)
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.wait()
        raise


def show_child(*arguments: str, folder: Path) -> None:
    """Show a Python command and run it in `folder`; end as it ends where it fails."""
    sys.stdout.write(f"\n$ python {' '.join(arguments)}\n")
    sys.stdout.flush()
    if code := run_child(arguments, folder=folder):
        sys.exit(code)
