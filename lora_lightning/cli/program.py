"""What the programs of this package share: their help, and their errors."""

import sys
from collections.abc import Callable

from lora_lightning.process.program import as_program
from lora_lightning.process.terminal import speak_plainly


def run_program(program: Callable[[list[str]], int | None], description: str | None) -> None:
    """Run `program` on this process's arguments; bad input, or a fault of files, is one line.

    Args:
        program: takes the arguments, and returns the exit code; None is 0.
        description: printed where help is asked for, or nothing is given.
    """
    speak_plainly()
    arguments = sys.argv[1:]
    if not arguments or {"--help", "-h"} & set(arguments):
        sys.stdout.write(f"{description}\n")
        return
    with as_program():
        sys.exit(program(arguments))
