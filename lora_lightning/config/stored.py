"""A config that lies in a folder is data: what is taken from it, and what is refused.

Whoever wrote the folder decides no class, no program and no file to load besides those that
`config/allowed.py` lets through. What the user gives on the command line is not looked at here.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lora_lightning.config.allowed import is_allowed
from lora_lightning.config.arguments import BUILDING
from lora_lightning.config.own import is_own
from lora_lightning.config.renamed import current_name
from lora_lightning.config.trust import Trust
from lora_lightning.errors import InputError

KEY = re.compile(r"[\w$-]+")  # one part of a dotted key
OPTION = re.compile(r"[\w+-][\w.+-]*(/[\w+-][\w.+-]*)*")  # a file below its group's folder
NODE = re.compile(r"\$\{\.*[\w$-]+([.\[][\w$-]+\]?)*\}")  # an interpolation of another key
USERS_ALONE = {
    "evaluation.java": "a program to run",
    "logger.*.settings.*": "for a client that has the user's key, where it sends to",
}
"""Keys, as patterns, whose texts could do harm, and what they are."""
NOT_STORED = ("trust", "paths.user_dir", "hydra")  # each command's own


def check_keys(config: DictConfig, file: Path) -> None:
    """Check that every key is a plain name: a dot in one would make it another key.

    Raises:
        InputError: naming the key.
    """
    for place, node in _mappings(OmegaConf.to_container(config, resolve=False), ""):
        for key in node:
            if not KEY.fullmatch(str(key)) or (not place and key == "hydra"):
                raise InputError(f"{file}: {key!r} is no key of a config; remove it")


def without_resolvers(config: DictConfig, resolved: DictConfig, file: Path) -> DictConfig:
    """Return a stored config in which nothing is left to run.

    `${key}` between its keys stays, and so does what `configs/` says of the same key. Any other
    interpolation, such as `${oc.env:…}`, becomes the value that the run had.

    Args:
        config: as it was composed.
        resolved: the same config as the run used it.
        file: of `config`, for messages.

    Raises:
        InputError: `resolved` does not tell the value.
    """
    plain = config.copy()
    for key, text in list(_texts(OmegaConf.to_container(config, resolve=False), "")):
        if not is_run(key, text):
            continue
        value = _at(OmegaConf.to_container(resolved, resolve=False), key)
        if isinstance(value, dict | list) or (isinstance(value, str) and "${" in value):
            raise InputError(
                f"{file}: {key}={text}: what a folder asks to work out is not run, and its "
                "config.yaml holds no plain value; write the value there"
            )
        _set(plain, key, value)
    return plain


def is_run(key: str, text: str) -> bool:
    """Whether a text would run a resolver that `configs/` do not use at that key."""
    return "${" in NODE.sub("", text) and not is_own(key, text)


def check_classes(
    config: Mapping[Any, Any], source: str, trust: Trust, given: Collection[str] = ()
) -> None:
    """Check what a stored config would build and run.

    Args:
        config: plain, interpolations alive.
        source: where it comes from, for messages.
        trust: of this command.
        given: keys and groups that the command line gives anew; they are not looked at.

    Raises:
        InputError: naming key, class, source, and the switch for whoever trusts it.
    """
    if trust.everything:
        return
    for place, node in _mappings(config, ""):
        if not is_given(f"{place}._target_", given):
            _check_mapping(place, node, source, trust)
    for key, value in _texts(config, ""):
        what = next((what for k, what in USERS_ALONE.items() if fnmatchcase(key, k)), None)
        if what is not None and not is_given(key, given) and not is_own(key, value):
            raise InputError(f"{source}: {key}={value} is {what}; {trust.otherwise}")


def check_choice(group: str, option: Any, source: str) -> None:
    """Check that an option is a file below its group's folder, such as `e2e/gpt2_medium`.

    Raises:
        InputError: it is a path to elsewhere.
    """
    for name in option if isinstance(option, list) else [option]:
        if name is not None and not OPTION.fullmatch(str(name)):
            raise InputError(f"{source}: {group}={name} is no name of an option; remove it")


def is_given(key: str, given: Collection[str]) -> bool:
    """Whether `key`, or a group that it is in, is among those that are given."""
    parts = key.split(".")
    return any(".".join(parts[:length]) in given for length in range(1, len(parts) + 1))


def _check_mapping(place: str, node: Mapping[Any, Any], source: str, trust: Trust) -> None:
    name = node.get("_target_")
    if "_target_" in node and not (
        isinstance(name, str) and is_allowed(place, current_name(name), trust.user_folder)
    ):
        where = f"{place}._target_" if place else "_target_"
        raise InputError(
            f"{source}: {where}={name}: a class that is not allowed there; {trust.otherwise}"
        )
    for key in BUILDING:
        if key in node and not is_own(f"{place}.{key}", node[key]):
            raise InputError(
                f"{source}: {place}.{key}={node[key]} is not allowed there; {trust.otherwise}"
            )


def _mappings(value: Any, place: str) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    """Yield (dotted key, mapping) of every mapping of a config, in lists too."""
    if isinstance(value, Mapping):
        yield place, value
    for key, child in _children(value):
        yield from _mappings(child, f"{place}.{key}" if place else str(key))


def _texts(value: Any, key: str) -> Iterator[tuple[str, str]]:
    """Yield (dotted key, text) of every text of a config, in lists too."""
    if isinstance(value, str):
        yield key, value
    for name, child in _children(value):
        yield from _texts(child, f"{key}.{name}" if key else str(name))


def _children(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        yield from value.items()
    elif isinstance(value, list):
        yield from enumerate(value)


def _at(value: Any, key: str) -> Any:
    """Return what lies at a dotted key, an empty mapping where nothing does."""
    for part in key.split("."):
        value = {str(name): child for name, child in _children(value)}.get(part, {})
    return value


def _set(config: DictConfig, key: str, value: Any) -> None:
    *parents, last = key.split(".")
    node: Any = config
    for part in parents:
        node = node._get_node(int(part) if OmegaConf.is_list(node) else part)
    node[int(last) if OmegaConf.is_list(node) else last] = value
