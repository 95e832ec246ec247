"""What the programs of this package share: their help, and their errors."""

import sys
from collections.abc import Callable

from lora_lightning.errors import Interrupted, end_interrupted, one_line_errors
from lora_lightning.process.parent import end_with_parent
from lora_lightning.process.signals import ended_by_signals
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
    end_with_parent()
    with ended_by_signals(), one_line_errors():
        try:
            sys.exit(program(arguments))
        except Interrupted as interruption:
            end_interrupted(interruption, "start it again")
