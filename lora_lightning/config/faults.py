"""What Hydra or OmegaConf says of a command line or a config, in one line that names the place."""

import re
from collections.abc import Callable, Iterable, Sequence

from hydra.errors import HydraException, MissingConfigException
from omegaconf.errors import OmegaConfBaseException

from lora_lightning.config.files import options_of
from lora_lightning.config.keys import nearest, unknown_key
from lora_lightning.config.search_path import CONFIGS, config_folders
from lora_lightning.config.study import A_SAMPLER, SAMPLER
from lora_lightning.errors import InputError, one_line, presentable

COMPOSING = (HydraException, OmegaConfBaseException)  # what wrong arguments and configs raise
OURS = "InputError raised while resolving interpolation: "
NO_SUCH_KEY = re.compile(r"Could not override '([^']+)'")
NO_SAMPLER = re.compile(rf"(?:Could not override|Error merging override) '?({SAMPLER}[^'\s]*)")


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
    elif match := NO_SAMPLER.match(str(error)):
        named = getattr(cause, "full_key", None) or match[1]
        text = f"{named}: is no sampler, nor an argument of one; {A_SAMPLER}"
    elif match := NO_SUCH_KEY.match(str(error)):
        text = unknown_key(match[1], keys())
    elif isinstance(error, OmegaConfBaseException) and error.full_key:
        first = str(error).splitlines()[0]
        text = first.partition(OURS)[2] or f"{error.full_key}: {first}"
    else:
        text = f"{error}{f' ({cause})' if cause else ''}"
    return presentable(one_line(text))


def is_of_params(error: Exception) -> bool:
    """Whether OmegaConf stumbles over the search space of Hydra's own sweeper, which is null.

    It adds no mapping to a typed one that is not there, and raises none of its own errors.
    """
    said = ("full_key: hydra.sweeper.params", "Unexpected type for root: NoneType")
    return any(text in str(error) for text in said)


def unknown_option(group: str, option: str, options: Sequence[str] | None = None) -> str:
    """Return the message for an option that a group does not have.

    Args:
        group: such as `method`.
        option: that it lacks.
        options: that it has; None: as the folders of configs have them.
    """
    if options is None:
        options = [name for folder in config_folders() for name in options_of(folder / group)]
    found = nearest(option, options)
    meant = f"the nearest option is {group}={found}; " if found else ""
    return f"{group}={option}: no such option; {meant}options: {', '.join(options)}"


def _missing_config(error: MissingConfigException) -> str:
    missing = str(error.missing_cfg_file or "").removesuffix(".yaml")
    if missing.startswith("hydra/"):  # whose options are plugins'
        group, _, option = missing.rpartition("/")
        return unknown_option(group, option, error.options or [])
    group, _, option = missing.partition("/")
    if option and (CONFIGS / group).is_dir():
        return unknown_option(group, option)
    return str(error).partition("Config search path")[0]
