"""What the config files of this repository say: the options that come along, and the user's own."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from lora_lightning.config.resolvers import register
from lora_lightning.config.search_path import CONFIGS, config_folders
from lora_lightning.files import read_text

PACKAGE = "# @package "
YAML = "*.yaml"


def is_own(key: str, value: Any) -> bool:
    """Whether a config of ours or the user's gives a key of one group and name just this value.

    Args:
        key: dotted, as composed.
        value: as written, its interpolations alive.
    """
    part = value if isinstance(value, str) else key.rpartition(".")[2]
    return any(
        part in read_text(file) and _gives(file.relative_to(configs), file, key, value)
        for configs in config_folders()
        for file in chain((configs / key.partition(".")[0]).rglob(YAML), configs.rglob(YAML))
    )


def user_folder(override: str | None = None) -> Path:
    """Return the folder of the user's own modules: `paths.user_dir`.

    Read from this command and from `configs/`, never from a run's folder.

    Args:
        override: the value that the command line gives it, if any.
    """
    if override is not None:
        return Path(override).expanduser().absolute()
    register()
    config = OmegaConf.create({"paths": OmegaConf.load(CONFIGS / "paths" / "default.yaml")})
    locals = (folder / "local" / "default.yaml" for folder in config_folders())
    if local := next(filter(Path.is_file, locals), None):
        config.merge_with({"paths": OmegaConf.select(OmegaConf.load(local), "paths") or {}})
    return Path(config.paths.user_dir).expanduser().absolute()


def _gives(place: Path, file: Path, key: str, value: Any) -> bool:
    wanted = _likeness(key)
    content = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
    return any(
        found == value and _likeness(prefix + name) == wanted
        for prefix in _prefixes(place, file)
        for name, found in _leaves(content, "")
    )


def _likeness(key: str) -> tuple[str, str, int]:
    """Return what keys of one group and name share: callbacks and loggers may be named freely."""
    parts = key.split(".")
    return parts[0], parts[-1], len(parts)


def _prefixes(place: Path, file: Path) -> list[str]:
    """Return what may stand before a file's keys once it is composed.

    Args:
        place: the file's path in the folder of configs.
        file: its whole path.
    """
    folders = place.parts[:-1]
    first = read_text(file).partition("\n")[0]
    if first.startswith(PACKAGE):
        package = first.removeprefix(PACKAGE).strip()
        return [""] if package == "_global_" else [f"{package}."]
    return [f"{folders[0]}."] if folders else ["", f"{file.stem}."]


def _leaves(value: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, child in value.items():
            yield from _leaves(child, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value
