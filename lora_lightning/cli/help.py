"""`--help`: examples, groups and keys, read from the config files and their comments."""

import ast
import shutil
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from lora_lightning.config.files import Key, default_options, keys_of, options_of
from lora_lightning.process.programs import as_started

HIDDEN_GROUPS = ("hydra", "paths")  # their keys are rarely set on the command line
KEY_WIDTH = 42
COMPUTED = 24  # a longer default with ${…} in it is no news to a reader
LAST_LINES = """

All keys with what they may hold: docs/config.md.   The composed config: --cfg job --resolve
A sweep: -m key=a,b.   Hydra's own flags: --hydra-help
"""


def print_help(command: str, configs: Path) -> None:
    """Print what `command` does, its config groups with their options, and every key."""
    width = min(shutil.get_terminal_size((110, 24)).columns, 120)
    sys.stdout.write("\n".join(help_lines(command, configs, width)) + LAST_LINES)


def help_lines(command: str, configs: Path, width: int) -> Iterator[str]:
    """Yield the lines of a command's help.

    Args:
        command: name of the entry script and of its root config.
        configs: the folder of all configs.
        width: columns to fill.
    """
    root = configs / f"{command}.yaml"
    entry = ast.parse((configs.parent / f"{command}.py").read_text(encoding="utf-8"))
    yield as_started(ast.get_docstring(entry) or "")
    defaults = dict(reversed(default_options(root).items()))  # data and model first
    yield "\nGroups (group=option, the default marked *):"
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
            yield from _key_lines(keys, f"{group}.", width)


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
