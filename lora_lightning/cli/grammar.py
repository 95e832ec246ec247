"""What is typed, in Hydra's grammar: taken as it is, converted, or refused with the right form."""

import ast
import json
from argparse import ArgumentError, Namespace
from typing import Any

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from lora_lightning.config.compose import CONFIGS
from lora_lightning.config.files import default_options, options_of
from lora_lightning.config.overrides import plain_override, quote
from lora_lightning.config.typed import for_shell
from lora_lightning.errors import InputError

VERBATIM = "text"  # the key whose value is a text whatever it holds


def overrides_among(arguments: list[str]) -> list[str]:
    """Return what is no flag of Hydra's, nor the value of one.

    Raises:
        InputError: a flag that Hydra does not have, with the key that it may have been meant to be.
    """
    flags, unknown = hydras_flags(arguments)
    overrides = [*flags.overrides, *unknown]
    for override in overrides:
        if override.startswith("-"):
            raise InputError(_without_hyphens(override, arguments))
    return overrides


def hydras_flags(arguments: list[str]) -> tuple[Namespace, list[str]]:
    """Return the flags of Hydra's among the arguments, and what it does not know.

    Raises:
        InputError: a flag lacks its value, or has a wrong one.
    """
    parser = get_args_parser()
    parser.allow_abbrev = False  # or --experiment is --experimental-rerun
    parser.exit_on_error = False
    try:
        return parser.parse_known_args(arguments)
    except ArgumentError as error:
        raise InputError(f"{error}; --hydra-help lists Hydra's own flags") from None


def _without_hyphens(flag: str, arguments: list[str]) -> str:
    key, equals, value = flag.lstrip("-").partition("=")
    following = arguments[arguments.index(flag) + 1 :]
    if not equals and following and "=" not in following[0] and following[0][:1] != "-":
        value = following[0]
    meant = for_shell(f"{key}={value}") if value else f"{key}=…"
    return (
        f"{flag}: a key has no hyphens before it, and its value stands behind `=`: {meant} "
        "(in a W&B sweep let `command:` have ${args_no_hyphens} in the place of ${args}); "
        "--help lists the keys"
    )


def in_grammar(argument: str) -> list[str]:
    """Return an override as Hydra takes it, if need be as several.

    A dictionary or list as Python or JSON writes it, with its keys quoted, becomes plain overrides:
    W&B passes nested parameters so. So does a dictionary for a whole group, which Hydra would take
    for the name of an option. A number for a label is a text. What else is not Hydra's grammar
    stays as it is.
    """
    if argument.startswith(f"{VERBATIM}="):
        return [f"{VERBATIM}={quote(argument.partition('=')[2])}"]
    key, _, value = argument.partition("=")
    override = read_override(argument)
    if override is None:
        content = _literal(value)
    elif override.is_sweep_override():
        return [argument]
    else:
        content = override.value()
        if key.lstrip("+") == "name" and isinstance(content, int | float):
            return [f"{key}={quote(value)}"]
        if not (isinstance(content, dict) and _is_group(key.lstrip("+"))):
            return [argument]
    if isinstance(content, dict) and content and _is_group(key.lstrip("+")):
        return [f"{key}.{name}={plain_override(item)}" for name, item in content.items()]
    return [f"{key}={plain_override(content)}"] if isinstance(content, dict | list) else [argument]


def require_grammar(overrides: list[str], command: str) -> None:
    """Refuse what Hydra would answer with the words of its parser, or not understand.

    Raises:
        InputError: naming the argument, and what to type.
    """
    options = default_options(CONFIGS / f"{command}.yaml")
    for argument in overrides:
        key, equals, value = argument.partition("=")
        if not key or not (equals or key.startswith("~")):
            raise InputError(f"{argument}: give key=value; --help lists the keys")
        if read_override(argument) is None:
            raise InputError(_quoted_form(argument))
        _require_group(argument, options)
        if value == "{}" and _is_group(key.lstrip("+")):
            raise InputError(f"{argument}: {_choose(key.lstrip('+'))}")


def _quoted_form(argument: str) -> str:
    key, _, value = argument.partition("=")
    quoted = f"{key}={quote(value)}"
    if read_override(quoted) is None:
        return f"{argument}: {key!r} is no name of a key; --help lists the keys"
    return (
        f"{argument}: a value with such characters has to stand in quotes, for Hydra and for the "
        f"shell: {for_shell(quoted)}"
    )


def _require_group(argument: str, options: dict[str, str]) -> None:
    """Refuse a group that is set to null, added though it is there, or removed."""
    key, _, value = argument.partition("=")
    group = key.lstrip("+~")
    if group not in options or not _is_group(group):
        if value == "null" and _is_group(group):
            raise InputError(f"{argument}: {_choose(group)}")
        return
    has_default = options[group] != "null"
    override = read_override(argument)
    if override is not None and isinstance(override.value(), int | float):
        raise InputError(f"{argument}: {_choose(group)}, or leave it out")
    if key.startswith("~"):
        raise InputError(f"{argument}: {_choose(group) if has_default else 'leave it out'}")
    if key.startswith("+"):
        raise InputError(f"{argument}: leave out the +, as {group} has its place: {group}={value}")
    if value == "null" and has_default:
        raise InputError(f"{argument}: {_choose(group)}, or leave it out")


def _choose(group: str) -> str:
    return f"choose one of {', '.join(options_of(CONFIGS / group))}"


def _is_group(key: str) -> bool:
    return bool(key) and "." not in key and (CONFIGS / key).is_dir()


def sweeps(argument: str) -> bool:
    """Whether an override has several values."""
    override = read_override(argument)
    return override is not None and override.is_sweep_override()


def read_override(argument: str) -> Override | None:
    """Return an override as Hydra reads it, None where it is not in its grammar.

    Raises:
        InputError: a number in it has too many digits, or it is nested too deeply.
    """
    try:
        override = OverridesParser.create().parse_override(argument)
        override.value()
    except HydraException:
        return None
    except (ValueError, RecursionError) as error:
        what = "nested too deeply" if isinstance(error, RecursionError) else "of too many digits"
        raise InputError(f"{argument[:60]}…: the value is {what}; give another") from None
    return override


def _literal(value: str) -> Any:
    """Return a dictionary or list as Python or JSON writes it, None where it is neither."""
    if not value.startswith(("{", "[")):
        return None
    for read in (ast.literal_eval, json.loads):
        try:
            return read(value)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return None
