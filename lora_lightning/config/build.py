"""From a config to the objects that it describes."""

import hashlib
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf


def build(node: DictConfig, **runtime: Any) -> Any:
    """Build the object that a config node describes, with plain Python containers as arguments."""
    return hydra.utils.instantiate(node, _convert_="all", **runtime)


def checksum(config: DictConfig) -> str:
    """Return the SHA-256 of the resolved config: equal in every rank of a right run."""
    return hashlib.sha256(OmegaConf.to_yaml(config, resolve=True).encode()).hexdigest()
