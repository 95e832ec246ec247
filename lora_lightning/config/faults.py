"""What Hydra or OmegaConf says of a command line or a config, in one line that names the place."""

import re
from collections.abc import Callable, Iterable

from hydra.errors import HydraException, MissingConfigException
from omegaconf.errors import OmegaConfBaseException

from lora_lightning.config.files import options_of
from lora_lightning.config.keys import nearest, unknown_key
from lora_lightning.config.search_path import CONFIGS, config_folders
from lora_lightning.errors import InputError, one_line, presentable

COMPOSING = (HydraException, OmegaConfBaseException)  # what wrong arguments and configs raise
OURS = "InputError raised while resolving interpolation: "
NO_SUCH_KEY = re.compile(r"Could not override '([^']+)'")


def explain(error: Exception, keys: Callable[[], Iterable[str]] = tuple) -> str:
    """Return the error's text in one line, with the nearest key or option where one does not exist.

    Args:
        error: what ended the command.
        keys: gives the keys that the command has.
    """
    cause = error.__cause__
    if isinstance(error, InputError):
        text = str(error)
    elif isinstance(cause, InputError):
        text = str(cause)
    elif isinstance(error, MissingConfigException):
        text = _missing_config(error)
    elif match := NO_SUCH_KEY.match(str(error)):
        text = unknown_key(match[1], keys())
    elif isinstance(error, OmegaConfBaseException) and error.full_key:
        first = str(error).splitlines()[0]
        text = first.partition(OURS)[2] or f"{error.full_key}: {first}"
    else:
        text = f"{error}{f' ({cause})' if cause else ''}"
    return presentable(one_line(text))


def unknown_option(group: str, option: str) -> str:
    """Return the message for an option that a group does not have."""
    options = [name for folder in config_folders() for name in options_of(folder / group)]
    found = nearest(option, options)
    meant = f"the nearest option is {group}={found}; " if found else ""
    return f"{group}={option}: no such option; {meant}options: {', '.join(options)}"


def _missing_config(error: MissingConfigException) -> str:
    group, _, option = str(error.missing_cfg_file or "").removesuffix(".yaml").partition("/")
    if option and (CONFIGS / group).is_dir():
        return unknown_option(group, option)
    return str(error).partition("Config search path")[0]
