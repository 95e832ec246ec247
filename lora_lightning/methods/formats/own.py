"""Adapter folders of methods for which PEFT has no layout: two files of our own.

`adapter.safetensors` holds every tensor that the method declares, under the names that it has in
the model; lora_lightning.json says which method that is and which base it is for. There is no
adapter_config.json, so that PEFT refuses the folder instead of leaving out what it does not know.
"""

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from lora_lightning.checksum import with_checksum, without_checksum
from lora_lightning.errors import InputError
from lora_lightning.files import read_json_object, write_json
from lora_lightning.gpt2.tensor_file import (
    read_tensors,
    require_finite,
    require_same_tensors,
    stored_checksum,
    write_tensors,
)
from lora_lightning.methods.base import fingerprint, require_same_base, trained_tensors
from lora_lightning.methods.method import Method, load_state, state_of

TENSORS = "adapter.safetensors"
SETTINGS = "lora_lightning.json"
OF_TENSORS = "tensors_sha256"
FREE = ("dropout",)
"""Settings with which an adapter loads whatever they are."""


def is_own_folder(path: Path) -> bool:
    """Whether a folder holds an adapter in our own layout."""
    return (path / TENSORS).is_file() and (path / SETTINGS).is_file()


def write_own(
    folder: Path,
    model: PreTrainedModel,
    method: Method,
    base: str | None,
    described: Mapping[str, Any] | None = None,
) -> None:
    """Write what `method` declares into an existing folder.

    Args:
        folder: takes the two files.
        model: made ready by `method`, its adapters unmerged.
        method: the method.
        base: name or path of the base; null takes what transformers knows.
        described: `_target_` and arguments that build the method; None: as its attributes say.
    """
    state = state_of(method, model)
    settings = {
        "method": dict(described or _described(method)),
        "settings": _described(method),
        OF_TENSORS: write_tensors(folder / TENSORS, {n: t.clone() for n, t in state.items()}),
        "base": {"name": base or model.config.name_or_path or None}
        | fingerprint(model, trained_tensors(model)),
    }
    write_json(folder / SETTINGS, with_checksum(settings))


def describe_own(folder: Path) -> dict[str, Any]:
    """Return `_target_` and arguments of the method that wrote a folder.

    Raises:
        InputError: the folder is damaged.
    """
    method: dict[str, Any] = _settings(folder)["method"]
    return method


def named_base(folder: Path) -> str | None:
    """Return the path or hub name of the base that a folder says it is for.

    Raises:
        InputError: the folder is damaged.
    """
    name = _settings(folder)["base"].get("name")
    return name if isinstance(name, str) and name else None


def load_own(folder: Path, model: PreTrainedModel, method: Method) -> int:
    """Load a folder into `model`, all of it or nothing, and return how many tensors it has.

    Args:
        folder: as `write_own` left it.
        model: made ready by `method`, its adapters unmerged.
        method: the method.

    Raises:
        InputError: the folder is damaged, or is of another method, setting or base.
    """
    settings, path = _settings(folder), folder / TENSORS
    _require_same_method(settings["settings"], _described(method), folder)
    require_same_base(fingerprint(model, trained_tensors(model)), settings["base"], folder)
    tensors = read_tensors(path)
    if stored_checksum(path) != settings.get(OF_TENSORS):
        raise InputError(
            f"{folder}: {TENSORS} and {SETTINGS} are of two adapters; copy or save both again"
        )
    require_same_tensors(state_of(method, model), tensors, path)
    require_finite(tensors, path)
    load_state(method, model, tensors)
    return len(tensors)


def _described(method: Method) -> dict[str, Any]:
    """Return a method's class and, as far as its attributes have them, its arguments."""
    kind = type(method)
    described: dict[str, Any] = {"_target_": f"{kind.__module__}.{kind.__qualname__}"}
    for name in inspect.signature(kind).parameters:
        try:
            described[name] = json.loads(json.dumps(getattr(method, name)))
        except (AttributeError, TypeError, ValueError):
            continue
    return described


def _require_same_method(theirs: dict[str, Any], ours: dict[str, Any], folder: Path) -> None:
    for key in dict.fromkeys([*theirs, *ours]):
        if key not in FREE and theirs.get(key) != ours.get(key):
            raise InputError(
                f"{folder}: was trained with method.{key}={theirs.get(key)}, but here it is "
                f"{ours.get(key)}; set method.{key}={theirs.get(key)}"
            )


def _settings(folder: Path) -> dict[str, Any]:
    path = folder / SETTINGS
    settings = without_checksum(read_json_object(path))
    if settings is None:
        raise InputError(f"{path}: damaged, it does not fit its checksum; save the adapter again")
    for key in ("method", "settings", "base"):
        if not isinstance(settings.get(key), dict):
            raise InputError(f"{path}: {key} is missing or wrong; save the adapter again")
    return settings
