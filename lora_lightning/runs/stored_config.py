"""The config that a training run left in its folder, and what every such config has."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lora_lightning.config.renamed import with_current_names
from lora_lightning.config.stored import check_keys
from lora_lightning.config.yaml_files import MEND, read_yaml
from lora_lightning.errors import InputError, first_line
from lora_lightning.files import require_kind

COMPOSED, RESOLVED, HYDRA = (
    Path(".hydra", "config.yaml"),
    Path("config.yaml"),
    Path(".hydra", "hydra.yaml"),
)


@dataclass(frozen=True)
class Model:
    """The group `model`."""

    path: str
    tokenizer: str
    dtype: str


@dataclass(frozen=True)
class Described:
    """A group that says which object is built of it."""

    _target_: str


@dataclass(frozen=True)
class Config:
    """What decoding, scoring and going on take from a run's config, whatever its version."""

    data: Described
    model: Model
    method: Described
    generation: dict[str, Any]
    adapter: str | None = None
    checkpoint: str = "last"


@dataclass(frozen=True)
class Choices:
    """Options of the groups that decoding takes from a run."""

    data: str
    model: str
    method: str
    generation: str


@dataclass(frozen=True)
class Runtime:
    """What Hydra noted when the run began.

    Attributes:
        choices: config group → option.
        cwd: the folder that relative paths are relative to.
    """

    choices: dict[str, Any]
    cwd: str


def read_composed(folder: Path) -> DictConfig:
    """Return the config as the user composed it, interpolations unresolved.

    Raises:
        InputError: it is damaged, or lacks keys that the resolved one has.
    """
    path = folder / COMPOSED
    composed, resolved = _read(path), read_resolved(folder)
    found = set(_places(composed))
    for place in _places(resolved):
        # Where the composed config has `${…}`, the resolved one may have a mapping.
        parts = place.split(".")
        if not any(".".join(parts[:end]) in found for end in range(1, len(parts) + 1)):
            raise InputError(f"{path}: lacks {place}, which {RESOLVED} has; {MEND}")
    return with_current_names(composed)


def read_resolved(folder: Path) -> DictConfig:
    """Return the config as the run used it, every interpolation resolved.

    Raises:
        InputError: it is damaged.
    """
    return with_current_names(_read(folder / RESOLVED))


def read_runtime(folder: Path) -> Runtime:
    """Return what Hydra noted when the run began.

    Raises:
        InputError: it is damaged.
    """
    path = folder / HYDRA
    content: Any = OmegaConf.to_container(read_yaml(path), resolve=False)
    hydra = require_kind(content, dict[str, Any], path, MEND).get("hydra")
    runtime = hydra.get("runtime") if isinstance(hydra, dict) else None
    noted = require_kind(runtime, Runtime, path, MEND)
    require_kind(noted.choices, Choices, f"{path}: choices", MEND)
    return noted


def _read(path: Path) -> DictConfig:
    config = read_yaml(path)
    check_keys(config, path)
    require_kind(OmegaConf.to_container(config, resolve=False), Config, path, MEND)
    return config


def _places(config: DictConfig) -> Iterator[str]:
    """Yield the dotted key of every value that is no mapping."""

    def walk(node: Any, prefix: str) -> Iterator[str]:
        for key, value in node.items():
            if isinstance(value, dict) and value:
                yield from walk(value, f"{prefix}{key}.")
            else:
                yield f"{prefix}{key}"

    return walk(OmegaConf.to_container(config, resolve=False), "")


@contextmanager
def named_in_errors(path: Path) -> Iterator[None]:
    """Context in which objects are built from the stored config at `path`.

    Raises:
        InputError: a key is missing or wrong; the message names the file.
    """
    try:
        yield
    except (KeyError, OmegaConfBaseException, HydraException) as error:
        cause = first_line(error.__cause__ or error)
        raise InputError(f"{path}: a key is missing or wrong ({cause}); {MEND}") from None
