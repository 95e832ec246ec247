"""From a config to the objects that it describes."""

import hashlib
import logging
import re
from typing import Any

import hydra
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf

from lora_lightning.config.renamed import current_name, earlier_names, with_current_names
from lora_lightning.errors import InputError, first_line

log = logging.getLogger(__name__)


def build(node: DictConfig, **runtime: Any) -> Any:
    """Build the object that a config node describes, with plain Python containers as arguments.

    A name of an earlier version is taken as today's, with a warning.

    Raises:
        InputError: its constructor refuses the arguments.
    """
    if names := earlier_names(node):
        renamed = ", ".join(f"{name} is now {current_name(name)}" for name in names)
        log.warning("%s; please change your config", renamed)
        node = with_current_names(node)
    try:
        return hydra.utils.instantiate(node, _convert_="all", **runtime)
    except InstantiationException as error:
        raise InputError(_reason_of(error)) from error


def build_each(group: str, nodes: DictConfig, kind: type[Any]) -> list[Any]:
    """Build every object of a group that describes one under each name.

    Raises:
        InputError: what a name describes is no `kind`.
    """
    built: dict[str, Any] = {}
    for key, node in nodes.items():
        name = str(key)
        try:
            built[name] = build(node)
        except InputError as error:
            is_relative = str(error).startswith((f"{name}:", f"{name}."))
            raise InputError(f"{group}.{error}" if is_relative else str(error)) from None
    for name, found in built.items():
        if not isinstance(found, kind):
            raise InputError(
                f"{group}.{name}._target_={nodes[name]._target_}: gives {type(found).__name__}, "
                f"where a {kind.__name__} is needed; name such a class, or leave it out"
            )
    return list(built.values())


def checksum(config: DictConfig) -> str:
    """Return the SHA-256 of the resolved config: equal in every rank of a right run."""
    return hashlib.sha256(OmegaConf.to_yaml(config, resolve=True).encode()).hexdigest()


def _reason_of(error: InstantiationException) -> str:
    """Return what kept an object of a config from being built: the first cause, where it is known.

    Args:
        error: as Hydra raises it, around what the object's constructor raised.
    """
    cause: BaseException = error
    while isinstance(cause, InstantiationException) and cause.__cause__ is not None:
        cause = cause.__cause__
    if isinstance(cause, InputError):
        return str(cause)
    if cause is error:
        return first_line(error)
    key = re.search(r"full_key: (\S+)", str(error))
    what = key[1] if key else first_line(error).rstrip(":")
    return f"{what}: cannot be built so ({type(cause).__name__}: {first_line(cause)})"
