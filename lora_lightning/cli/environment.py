"""`.env`: environment variables of this machine, such as WANDB_API_KEY or HF_HOME, in a file."""

import os
import re
from pathlib import Path

from lora_lightning.errors import InputError
from lora_lightning.files import read_lines

VALUE = r"""(?:'([^']*)'|"([^"]*)"|([^'"#\s]*))"""
LINE = re.compile(rf"(?:export\s+)?([A-Za-z_]\w*)\s*=\s*{VALUE}\s*(?:#.*)?")


def load_environment(file: Path) -> None:
    """Set the variables that a file of `NAME=value` lines names, and that are not set yet.

    Values may stand in quotes; nothing in them is expanded. Lines that are empty or begin with `#`
    say nothing.

    Args:
        file: the file; where there is none nothing happens.

    Raises:
        InputError: a line is something else.
    """
    if not file.is_file():
        return
    for number, line in enumerate(read_lines(file), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = LINE.fullmatch(line.strip())
        if match is None:
            raise InputError(f"{file}:{number}: must be NAME=value, quoted where it has spaces")
        name, *values = match.groups()
        os.environ.setdefault(name, next(value for value in values if value is not None))
