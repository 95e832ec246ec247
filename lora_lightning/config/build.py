"""From a config to the objects that it describes."""

import hashlib
import logging
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf

from lora_lightning.config.renamed import current_name, earlier_names, with_current_names

log = logging.getLogger(__name__)


def build(node: DictConfig, **runtime: Any) -> Any:
    """Build the object that a config node describes, with plain Python containers as arguments.

    A name of an earlier version is taken as today's, with a warning.
    """
    if names := earlier_names(node):
        renamed = ", ".join(f"{name} is now {current_name(name)}" for name in names)
        log.warning("%s; please change your config", renamed)
        node = with_current_names(node)
    return hydra.utils.instantiate(node, _convert_="all", **runtime)


def checksum(config: DictConfig) -> str:
    """Return the SHA-256 of the resolved config: equal in every rank of a right run."""
    return hashlib.sha256(OmegaConf.to_yaml(config, resolve=True).encode()).hexdigest()
