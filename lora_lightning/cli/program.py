"""What the programs of this package share: their help, and their errors."""

import sys
from collections.abc import Callable, Mapping
from typing import Any

from lora_lightning.config.typed import as_given, text_of
from lora_lightning.errors import InputError
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


def keys_of_program(
    arguments: list[str], defaults: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Return the values of a program's keys, and the overrides that say where runs lie.

    Args:
        arguments: `key=value` each; those of `paths.` are for the composed config.
        defaults: every key of the program, with the value that it has where it is not given.

    Raises:
        InputError: a key is unknown.
    """
    keys, overrides = dict(defaults), []
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if key.startswith("paths."):
            overrides.append(as_given(argument))
        elif key in defaults and equals:
            keys[key] = text_of(value)
        else:
            known = ", ".join(defaults)
            raise InputError(f"unknown key {key}; the keys are {known}, paths.output_dir")
    return keys, overrides
