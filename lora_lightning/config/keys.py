"""The keys that a command has, and the nearest one to a key that does not exist."""

import difflib
from collections.abc import Iterator

from hydra.errors import HydraException
from omegaconf import DictConfig

from lora_lightning.config.compose import CONFIGS, composed


def unknown_key(key: str, keys: list[str]) -> str:
    """Return the message for a key that does not exist."""
    nearest = difflib.get_close_matches(key, keys, n=1, cutoff=0.0)[0]
    return f"unknown key {key}; the nearest one is {nearest} (--help lists them all)"


def existing_keys(command: str, arguments: list[str]) -> list[str]:
    """Return all keys and groups of the command's config with the user's group choices."""
    groups = {path.name for path in CONFIGS.iterdir() if path.is_dir()}
    chosen = [a for a in arguments if a.split("=")[0] in groups and "," not in a]
    try:
        return [*groups, *flat_keys(composed(command, chosen))]
    except HydraException:
        return []


def flat_keys(config: DictConfig, prefix: str = "") -> Iterator[str]:
    """Yield the dotted keys of every leaf of a config, interpolations left alone."""
    for key, node in config.items_ex(resolve=False):
        name = prefix + str(key)
        if isinstance(node, DictConfig):
            yield from flat_keys(node, f"{name}.")
        else:
            yield name
