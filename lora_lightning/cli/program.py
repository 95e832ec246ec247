"""What the programs of this package share: their help, and their errors."""

import sys
from collections.abc import Callable

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
