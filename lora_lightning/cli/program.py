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


def given_values(
    arguments: list[str], defaults: Mapping[str, Any], passed_on: str | None = None
) -> tuple[dict[str, Any], list[str]]:
    """Return the values of a program's keys, and what it passes on as overrides of a config.

    Args:
        arguments: `key=value` each.
        defaults: every key with its value where it is not given.
        passed_on: how keys begin that are passed on, such as `paths.`; None: there are none.

    Raises:
        InputError: an argument is no `key=value`, or has another key.
    """
    values, overrides = dict(defaults), []
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if equals and passed_on is not None and key.startswith(passed_on):
            overrides.append(as_given(argument))
        elif equals and key in defaults:
            values[key] = text_of(value)
        else:
            further = "" if passed_on is None else f", {passed_on}…"
            raise InputError(f"unknown key {key}; the keys are {', '.join(defaults)}{further}")
    return values, overrides
