"""What Hydra or OmegaConf says of a command line, as one line that names the argument."""

import re
from pathlib import PurePosixPath

from hydra.errors import MissingConfigException
from omegaconf.errors import OmegaConfBaseException

from lora_lightning.config.compose import CONFIGS
from lora_lightning.config.files import options_of
from lora_lightning.config.keys import existing_keys, nearest, unknown_key
from lora_lightning.errors import InputError, one_line, presentable

OURS = "InputError raised while resolving interpolation: "
NO_SUCH_KEY = re.compile(r"Could not override '([^']+)'")


def explain(command: str, arguments: list[str], error: Exception) -> str:
    """Return the error's text in one line, with the nearest key or option where one does not exist.

    Args:
        command: name of the command.
        arguments: as the user gave them.
        error: what ended the command.
    """
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, MissingConfigException):
        return presentable(_unknown_option(error))
    if match := NO_SUCH_KEY.match(str(error)):
        return presentable(unknown_key(match[1], existing_keys(command, arguments)))
    cause = error.__cause__
    if isinstance(cause, InputError):
        return str(cause)
    if isinstance(error, OmegaConfBaseException) and error.full_key:
        first = str(error).splitlines()[0]
        text = first.partition(OURS)[2] or f"{error.full_key}: {first}"
    else:
        text = one_line(f"{error}{f' ({cause})' if cause else ''}")
    return presentable(text)


def _unknown_option(error: MissingConfigException) -> str:
    path = PurePosixPath(str(error.missing_cfg_file or "").removesuffix(".yaml"))
    group = next((str(p) for p in path.parents if (CONFIGS / p).is_dir() and str(p) != "."), None)
    if group is None:
        return one_line(str(error).partition("Config search path")[0])
    group = group.split("/")[0]
    option, options = str(path.relative_to(group)), list(options_of(CONFIGS / group))
    found = nearest(option, options)
    meant = f"the nearest option is {group}={found}; " if found else ""
    return f"{group}={option}: no such option; {meant}options: {', '.join(options)}"
