"""Values in the grammar of Hydra's overrides."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

FILE_KEYS = ("data.dir", "data.train", "data.valid", "data.test", "model.path", "model.tokenizer",
             "adapter", "protocol.seen_lines")  # fmt: skip
HUB_KEYS = ("model.path", "model.tokenizer", "adapter")  # which may also be names on the hub


def quote(text: str, keep_interpolations: bool = False) -> str:
    """Return `text` as a quoted string of Hydra's override grammar that means exactly `text`.

    With `keep_interpolations`, `${…}` in it stays an interpolation.
    """
    if not keep_interpolations:
        text = re.sub(r"(\\*)\$\{", r"\1\1\\${", text)
    # In Hydra's grammar backslashes are special only right before a quote, or at the end.
    return "'" + re.sub(r"(\\*)('|\Z)", _escape_before_quote, text) + "'"


def _escape_before_quote(match: re.Match[str]) -> str:
    backslashes, quotation = match.groups()
    return backslashes * 2 + ("\\'" if quotation else "")


def stored_value(key: str, value: Any, started_in: Path) -> Any:
    """Return the value of a key so that it means the same in any working folder.

    Args:
        key: dotted.
        value: as it was composed, interpolations alive.
        started_in: the folder that relative paths were relative to.
    """
    if key in FILE_KEYS and isinstance(value, str) and "${" not in value:
        absolute = started_in / Path(value).expanduser()
        is_hub_name = key in HUB_KEYS and not absolute.exists()
        return value if is_hub_name else str(absolute)
    return value


def with_absolute_paths(config: DictConfig, folder: Path) -> DictConfig:
    """Return a copy of a config in which paths of files mean the same in any working folder.

    Args:
        config: as it was composed, or resolved; `${…}` stays as it is.
        folder: what relative paths are relative to.
    """
    absolute = config.copy()
    for key in FILE_KEYS:
        *groups, name = key.split(".")
        node: Any = absolute
        for group in groups:
            node = node._get_node(group) if OmegaConf.is_dict(node) else None
        if OmegaConf.is_dict(node) and name in node:
            value = OmegaConf.to_container(node, resolve=False)[name]  # type: ignore[index, call-overload]
            if (stored := stored_value(key, value, folder)) != value:
                node[name] = stored
    return absolute


def flat_values(config: DictConfig, folder: Path) -> dict[str, Any]:
    """Return a config by dotted key, interpolations alive, paths of files absolute.

    Args:
        config: as it was composed.
        folder: what relative paths are relative to.
    """

    def walk(node: Any, prefix: str) -> Iterator[tuple[str, Any]]:
        for key, value in node.items():
            if isinstance(value, dict):
                yield from walk(value, f"{prefix}{key}.")
            else:
                yield f"{prefix}{key}", stored_value(f"{prefix}{key}", value, folder)

    return dict(walk(OmegaConf.to_container(config, resolve=False), ""))


def plain_override(value: Any, keep_interpolations: bool = True) -> str:
    """Return a plain value in Hydra's override grammar.

    With `keep_interpolations`, `${…}` in it stays an interpolation.
    """
    if isinstance(value, str):
        return quote(value, keep_interpolations)
    if isinstance(value, float | int | bool) or value is None:
        return json.dumps(value)
    items: Any = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
    if isinstance(items, dict):
        pairs = (f"{k}:{plain_override(v, keep_interpolations)}" for k, v in items.items())
        return "{" + ",".join(pairs) + "}"
    return "[" + ",".join(plain_override(item, keep_interpolations) for item in items) + "]"
