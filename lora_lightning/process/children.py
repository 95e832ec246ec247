"""Python commands that this process starts and waits for."""

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from lora_lightning.errors import Interrupted
from lora_lightning.process import REPOSITORY, workspace
from lora_lightning.process.parent import PARENT
from lora_lightning.process.programs import as_started


def run_child(
    arguments: Sequence[str],
    environment: Mapping[str, str] | None = None,
    folder: Path | str | None = None,
) -> int:
    """Run a Python command to its own end, and return its exit code.

    The command ends when this process does, and gets the signal that interrupts this process, so
    that it can save its state; `subprocess.run` would kill it after a quarter of a second.

    Args:
        arguments: of this Python.
        environment: this process's where None.
        folder: where it runs; this process's where None.

    Raises:
        Interrupted: a signal came; the child has ended.
        KeyboardInterrupt: Ctrl-C, where nothing else is done about it; the child has ended.
    """
    environment = dict(os.environ if environment is None else environment)
    process = subprocess.Popen(
        [sys.executable, *arguments], env=environment | {PARENT: str(os.getpid())}, cwd=folder
    )
    try:
        return process.wait()
    except Interrupted as interruption:
        process.send_signal(interruption.number)
        process.wait()
        raise
    except KeyboardInterrupt:  # the terminal interrupts the child as well
        process.wait()
        raise


def show_child(*arguments: str) -> None:
    """Show a command of the project and run it; end as it ends where it fails.

    Args:
        arguments: of Python as in a checkout: `train.py …`, or `-m lora_lightning.sweep …`.
    """
    sys.stdout.write("\n$ " + as_started(f"python {shlex.join(arguments)}") + "\n")
    sys.stdout.flush()
    script = [] if arguments[0] == "-m" else [str(REPOSITORY / arguments[0])]
    if code := run_child([*script, *arguments[len(script) :]], folder=workspace()):
        sys.exit(code)
