"""Where Hydra looks for configs: the user's own folder, ours, and `configs/` of the working folder.

The user's own is what `--config-dir` names, which Hydra puts first. A package that is installed has
no `configs/` to add options to, so it looks into the working folder's, behind ours: what another
project has there, such as a `configs/train.yaml`, changes nothing.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from shlex import quote

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin

from lora_lightning.process import IS_INSTALLED, REPOSITORY, workspace

CONFIGS = REPOSITORY / "configs"
FLAGS = ("--config-dir", "-cd")
GIVEN = "LORA_LIGHTNING_CONFIG_DIR"  # set for the processes that a command with --config-dir starts


def config_folders() -> list[Path]:
    """Return the folders of configs that there are; what stands earlier wins."""
    given = [Path(os.environ[GIVEN])] if GIVEN in os.environ else []
    return [*given, CONFIGS, *_of_workspace()]


class OwnConfigs(SearchPathPlugin):
    """Makes Hydra look there in every process of a command, whoever started it."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Add the folders that are not ours."""
        if GIVEN in os.environ:
            search_path.prepend("command-line", f"file://{os.environ[GIVEN]}")
        for folder in _of_workspace():
            search_path.append("working-folder", f"file://{folder}")


@contextmanager
def own_configs(arguments: Sequence[str]) -> Iterator[None]:
    """Context of a command, in which the folder that its `--config-dir` names is looked into.

    Args:
        arguments: the command line.
    """
    before = os.environ.get(GIVEN)
    _, folder = without_config_dir(arguments)
    if folder is not None:
        os.environ[GIVEN] = str(Path(folder).absolute())
    if len(config_folders()) > 1:
        Plugins.instance().register(OwnConfigs)
    try:
        yield
    finally:
        os.environ.pop(GIVEN, None)
        os.environ |= {GIVEN: before} if before is not None else {}


def without_config_dir(arguments: Sequence[str]) -> tuple[list[str], str | None]:
    """Return a command line without `--config-dir`, and the folder that it names."""
    kept, folder = [], None
    rest = iter(arguments)
    for argument in rest:
        flag, equals, value = argument.partition("=")
        if flag in FLAGS:
            folder = value if equals else next(rest, None)
        else:
            kept.append(argument)
    return kept, folder


def config_dir_switch() -> str:
    """Return what a command line needs besides to find the user's own configs again."""
    return f" {quote(f'--config-dir={os.environ[GIVEN]}')}" if GIVEN in os.environ else ""


def _of_workspace() -> list[Path]:
    folder = workspace() / "configs"
    return [folder] if IS_INSTALLED and folder.is_dir() else []
