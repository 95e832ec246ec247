"""Keys that name files and folders, in which `~` is the user's home."""

from os.path import expanduser
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lora_lightning.config.overrides import FILE_KEYS

KEYS = (*FILE_KEYS, "run", "resume", "inputs", "predictions", "hypotheses", "references",
        "output_dir", "evaluation.java", "data.cache_dir")  # fmt: skip


def expand_homes(config: DictConfig) -> None:
    """Put the user's home in the place of `~` in every key of a config that names a path."""
    for key in (*KEYS, *(f"paths.{name}" for name in config.get("paths") or {})):
        value: Any = OmegaConf.select(config, key, throw_on_missing=False)
        if isinstance(value, str) and value.startswith("~"):
            OmegaConf.update(config, key, expanduser(value))
        elif OmegaConf.is_list(value):
            OmegaConf.update(
                config, key, [expanduser(v) if isinstance(v, str) else v for v in value]
            )
