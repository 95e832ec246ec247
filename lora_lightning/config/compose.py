"""From a command's name and overrides to its config."""

from collections.abc import Sequence

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from lora_lightning.config.resolvers import register
from lora_lightning.config.search_path import CONFIGS
from lora_lightning.config.source import register_source


def composed(command: str, overrides: Sequence[str]) -> DictConfig:
    """Return the config of a command as Hydra composes it, interpolations alive.

    Raises:
        HydraException: an override is wrong.
        OmegaConfBaseException: so is a value's kind.
    """
    register()
    register_source()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return compose(command, list(overrides))
