"""What is typed and what we print to be typed: arguments in Hydra's grammar, quoted for a shell."""

import shlex

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from lora_lightning.config.overrides import quote
from lora_lightning.errors import InputError
from lora_lightning.process.programs import as_started

ACTIVE_IN_DOUBLE_QUOTES = set('$`"\\!')


def parsed(argument: str) -> object:
    """Return the value of an override `key=value` as Hydra reads it.

    Raises:
        HydraException: it is not in Hydra's grammar.
    """
    return OverridesParser.create().parse_override(argument).value()


def text_of(value: str) -> str:
    """Return the text that a typed value means: quotes of Hydra's grammar count, nothing else does.

    So `2024`, `~/x` and `a=b` are what they look like.
    """
    try:
        read = parsed(f"key={value}")
    except HydraException:
        return value
    return read if isinstance(read, str) else value


def is_true(key: str, value: str) -> bool:
    """Return what a typed `true` or `false` means.

    Raises:
        InputError: it is something else.
    """
    if value.lower() not in ("true", "false"):
        raise InputError(f"{key}={value}: allowed is true | false")
    return value.lower() == "true"


def as_typed(key: str, text: str) -> str:
    """Return an override that gives `key` exactly this text, in quotes where Hydra needs them."""
    plain = f"{key}={text}"
    try:
        is_plain = parsed(plain) == text and "${" not in text
    except HydraException:
        is_plain = False
    return plain if is_plain else f"{key}={quote(text)}"


def as_given(argument: str) -> str:
    """Return `key=value` of a program, whose values are texts as they look, as an override."""
    key, _, value = argument.partition("=")
    return as_typed(key, text_of(value))


def for_shell(*arguments: str) -> str:
    """Return arguments as a line that a POSIX shell takes apart into exactly these."""
    return " ".join(map(_word, arguments))


def command_line(*arguments: str) -> str:
    """Return a command of the project as this one was started, as a line for a POSIX shell.

    Args:
        arguments: of Python in a checkout: `train.py …`, or `-m lora_lightning.sweep …`.
    """
    return as_started(for_shell("python", *arguments))


def _word(argument: str) -> str:
    quoted = shlex.quote(argument)
    if "'" not in argument or set(argument) & ACTIVE_IN_DOUBLE_QUOTES:
        return quoted
    return f'"{argument}"'
