"""What the programs of this package share: their help, and their errors."""

import sys
from collections.abc import Callable

from lora_lightning.errors import InputError, Interrupted, disk_fault, end_interrupted
from lora_lightning.process.parent import end_with_parent
from lora_lightning.process.signals import ended_by_signals


def run_program(program: Callable[[list[str]], int | None], description: str | None) -> None:
    """Run `program` on this process's arguments; bad input, or a fault of the disk, is one line.

    Args:
        program: takes the arguments, and returns the exit code; None is 0.
        description: printed where help is asked for, or nothing is given.
    """
    arguments = sys.argv[1:]
    if not arguments or {"--help", "-h"} & set(arguments):
        sys.stdout.write(f"{description}\n")
        return
    end_with_parent()
    with ended_by_signals():
        try:
            sys.exit(program(arguments))
        except InputError as error:
            sys.exit(f"error: {error}")
        except Interrupted as interruption:
            end_interrupted(interruption, "start it again")
        except OSError as error:
            if (fault := disk_fault(error)) is None:
                raise
            sys.exit(f"error: {fault}")
