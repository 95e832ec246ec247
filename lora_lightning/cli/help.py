"""`--help`: examples, groups and keys, read from the config files and their comments."""

import ast
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from lora_lightning.config.faults import unknown_option
from lora_lightning.config.files import Key, default_options, keys_of, options_of
from lora_lightning.errors import InputError
from lora_lightning.files import read_text
from lora_lightning.process.programs import as_started

HIDDEN_GROUPS = ("hydra", "paths")  # their keys are rarely set on the command line
KEY_WIDTH = 42
AT_THE_ROOT = "# @package _global_"  # such an option presets keys of others
COMPUTED = 24  # a longer default with ${…} in it is no news to a reader
LAST_LINES = """

All keys with what they may hold: docs/config.md.   The composed config: --cfg job --resolve
A sweep: -m key=a,b.   Hydra's own flags: --hydra-help
"""


def print_help(command: str, configs: Path, arguments: Sequence[str] = ()) -> None:
    """Print what `command` does, its config groups with their options, and every key.

    Args:
        command: name of the entry script and of its root config.
        configs: the folder of all configs.
        arguments: those beside `--help`; the options that they choose are shown.

    Raises:
        InputError: there is no such option.
    """
    width = min(shutil.get_terminal_size((110, 24)).columns, 120)
    given = dict(argument.lstrip("+").split("=", 1) for argument in arguments if "=" in argument)
    sys.stdout.write("\n".join(help_lines(command, configs, width, given)) + LAST_LINES)


def help_lines(
    command: str, configs: Path, width: int, given: Mapping[str, str] = MappingProxyType({})
) -> Iterator[str]:
    """Yield the lines of a command's help.

    Args:
        command: name of the entry script and of its root config.
        configs: the folder of all configs.
        width: columns to fill.
        given: values by key; the options of groups among them take the defaults' place.

    Raises:
        InputError: there is no such option.
    """
    root = configs / f"{command}.yaml"
    entry = ast.parse((configs.parent / f"{command}.py").read_text(encoding="utf-8"))
    yield as_started(ast.get_docstring(entry) or "")
    defaults = dict(reversed(default_options(root).items()))  # data and model first
    for group, option in given.items():
        if group in defaults and option != "null":
            if option not in options_of(configs / group):
                raise InputError(unknown_option(group, option))
            defaults[group] = option
    marking = "what you chose, else the default," if given else "the default"
    yield f"\nGroups (group=option, {marking} marked *):"
    for group, default in defaults.items():
        if options := options_of(configs / group):
            marked = [f"*{option}" if option == default else option for option in options]
            yield from _columns(group, "  ".join(marked), 13, width)
    yield "\nKeys (key=value; of the options marked above):"
    yield from _key_lines(keys_of(root), "", width)
    for group, default in defaults.items():
        file = configs / group / f"{default}.yaml"
        if group not in HIDDEN_GROUPS and file.is_file() and (keys := keys_of(file)):
            yield ""
            is_preset = read_text(file).startswith(AT_THE_ROOT)
            if is_preset:
                yield f"  {group}={default} sets:"
            yield from _key_lines(keys, "" if is_preset else f"{group}.", width)


def _key_lines(keys: dict[str, Key], prefix: str, width: int) -> Iterator[str]:
    for name, key in keys.items():
        if name.rpartition(".")[2].startswith("_"):
            continue
        is_long = "${" in key.default and len(key.default) > COMPUTED
        default = "…" if is_long else key.default
        yield from _columns(f"{prefix}{name}={default}", key.comment, KEY_WIDTH, width)


def _columns(left: str, right: str, left_width: int, width: int) -> Iterator[str]:
    """Yield `left` and, beside it, `right` over as many lines as it needs."""
    lines = textwrap.wrap(right, max(width - left_width - 3, 20), break_on_hyphens=False)
    if len(left) > left_width:
        yield f"  {left}"
        left = ""
    for line in lines or [""]:
        yield f"  {left:<{left_width}} {line}".rstrip()
        left = ""
