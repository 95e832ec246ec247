"""Adapter folders of PEFT's other tuners, which PEFT reads as its own.

adapter_config.json and adapter_model.safetensors are PEFT's. Beside them lie, in
lora_lightning.json, how our config built the method, and what tells its base from others.
"""

import copy
import dataclasses
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
from lora_lightning.methods.formats.peft import OF_TENSORS, OWN, TENSORS, tensor_file
from lora_lightning.methods.formats.peft_config import CONFIG
from lora_lightning.methods.method import Method

LORA = "LORA"  # the tuner whose folders `formats/peft.py` reads
ADALORA = "ADALORA"  # the tuner whose ranks are learnt
TARGET = "lora_lightning.methods.peft_method.PEFT"
LINEAR_ONLY = (
    "BEFT", "BOFT", "C3A", "DELORA", "GLORA", "HRA", "LOHA", "LOKR", "MISS", "OFT", "OSF", "PEANUT",
    "PSOFT", "ROAD", "SHIRA", "SUPERTUNING",
)  # fmt: skip
"""Types of PEFT's adapters that know no `Conv1D`."""

FREE = (
    "auto_mapping", "base_model_name_or_path", "inference_mode", "peft_type", "peft_version",
    "revision", "task_type", "total_step",
)  # fmt: skip
"""Entries of adapter_config.json that do not decide what the tensors mean."""


def is_tuner_folder(path: Path) -> bool:
    """Whether a folder holds an adapter of a tuner that `method=peft` runs."""
    if not (path / CONFIG).is_file():
        return False
    kind = read_json_object(path / CONFIG).get("peft_type")
    return isinstance(kind, str) and (kind != LORA or "method" in _own_settings(path))


def write_tuner(
    folder: Path,
    model: PreTrainedModel,
    method: Method,
    base: str | None,
    described: Mapping[str, Any] | None = None,
) -> None:
    """Write the adapter of `model` into an existing folder.

    Args:
        folder: takes the three files.
        model: its adapters have to be unmerged.
        method: the `PEFT` that made `model` ready.
        base: name or path of the base; null takes what transformers knows.
        described: `_target_` and arguments of the method; None: as its config differs from PEFT's
            defaults.
    """
    from lora_lightning.methods.peft_method import PEFT, config_in_files
    from lora_lightning.methods.peft_start import joined

    assert isinstance(method, PEFT)
    base = base or model.config.name_or_path or None
    config = config_in_files(model)
    config.base_model_name_or_path, config.inference_mode = base, True
    for key, value in vars(config).items():
        if isinstance(value, set):
            setattr(config, key, sorted(value))
    config.save_pretrained(str(folder))
    state = {name: tensor.detach().clone() for name, tensor in joined(method.state(model)).items()}
    settings = {
        "method": dict(described or _described(method.config.to_dict(), method.linear)),
        OF_TENSORS: write_tensors(folder / TENSORS, state),
        "base": {"name": base} | fingerprint(model, trained_tensors(model)),
    }
    write_json(folder / OWN, with_checksum(settings))


def describe_tuner(folder: Path) -> dict[str, Any]:
    """Return `_target_` and arguments of the method with which a folder loads.

    Raises:
        InputError: the folder is damaged, or of a tuner that PEFT does not have.
    """
    method = _own_settings(folder).get("method")
    if isinstance(method, dict):
        return method
    return _described(read_json_object(folder / CONFIG), _type_of(folder) in LINEAR_ONLY, folder)


def load_tuner(folder: Path, model: PreTrainedModel, method: Method) -> int:
    """Load a folder into `model`, all of it or nothing, and return how many tensors it has.

    Args:
        folder: PEFT's or ours.
        model: made ready by `method`, its adapters unmerged.
        method: the method.

    Raises:
        InputError: the folder is damaged, or is of another tuner, setting or base.
    """
    from lora_lightning.methods import adalora
    from lora_lightning.methods.peft_method import PEFT, config_in_files, config_of
    from lora_lightning.methods.peft_start import joined, parted

    if not isinstance(method, PEFT):
        raise InputError(
            f"{folder}: is a {_type_of(folder)} adapter of PEFT's; set method=peft and its "
            "method.config, or leave out method="
        )
    stored, own, path = (
        read_json_object(folder / CONFIG),
        _own_settings(folder),
        tensor_file(folder),
    )
    _require_same_type(stored, config_of(model), folder)
    tensors = read_tensors(path)
    method.make_room(model, tensors)
    _require_same_config(stored, config_in_files(model), folder)
    if isinstance(base := own.get("base"), dict):
        require_same_base(fingerprint(model, trained_tensors(model)), base, folder)
    if OF_TENSORS in own and path.name == TENSORS and stored_checksum(path) != own[OF_TENSORS]:
        raise InputError(f"{folder}: {TENSORS} and {OWN} are of two adapters; copy both again")
    whole, config = joined(method.state(model)), config_of(model)
    is_adalora = stored.get("peft_type") == ADALORA
    if is_adalora:
        pruned = copy.copy(config)
        pruned.rank_pattern = stored.get("rank_pattern")
        tensors = adalora.expanded(tensors, whole, pruned, path)
    require_same_tensors(whole, tensors, path)
    require_finite(tensors, path)
    method.load(model, parted(tensors, method.state(model)))
    if is_adalora:
        config.rank_pattern = stored.get("rank_pattern")
    return len(tensors)


def _require_same_type(stored: dict[str, Any], config: Any, folder: Path) -> None:
    ours = _plain(config.peft_type)
    if stored.get("peft_type") != ours:
        raise InputError(
            f"{folder}: is a {stored.get('peft_type')} adapter, but method.config is of "
            f"{ours}; leave out method= to take the folder's"
        )


def _require_same_config(stored: dict[str, Any], config: Any, folder: Path) -> None:
    ours = _plain(config.to_dict())
    for key, value in ours.items():
        theirs = _plain(stored.get(key, value))
        is_learnt = key == "rank_pattern" and ours["peft_type"] == ADALORA
        if key in FREE or is_learnt or "dropout" in key:
            continue
        if theirs != value and key in stored:
            raise InputError(
                f"{folder}: was trained with {key} {theirs}, but here it is {value}; set "
                f"method.config.{key}, or leave out method= to take the folder's"
            )


def _described(
    config: Mapping[str, Any], linear: bool, folder: Path | None = None
) -> dict[str, Any]:
    """Return the method of a configuration, of which only what differs from PEFT's defaults."""
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    kind: Any = PEFT_TYPE_TO_CONFIG_MAPPING.get(_plain(config["peft_type"]))
    if kind is None:
        raise InputError(
            f"{folder}: peft_type={config['peft_type']} is no adapter of the installed PEFT"
        )
    defaults = {
        field.name: field.default if field.default_factory is dataclasses.MISSING
        else field.default_factory()
        for field in dataclasses.fields(kind) if field.init
    }  # fmt: skip
    given = {
        key: _plain(config[key])
        for key, default in defaults.items()
        if key in config and key not in FREE and _plain(config[key]) != _plain(default)
    }
    if kind.__name__.startswith("AdaLora"):
        given.pop("rank_pattern", None)  # learnt
    if "total_step" in defaults:
        given["total_step"] = config["total_step"]
    return {
        "_target_": TARGET,
        "config": {"_target_": f"peft.{kind.__name__}", **given},
        "linear": linear,
    }


def _type_of(folder: Path) -> str:
    return str(read_json_object(folder / CONFIG).get("peft_type"))


def _own_settings(folder: Path) -> dict[str, Any]:
    """Return what lora_lightning.json says; nothing where PEFT wrote the folder alone."""
    path = folder / OWN
    if not path.is_file():
        return {}
    own = without_checksum(read_json_object(path))
    if own is None:
        raise InputError(f"{path}: damaged, it does not fit its checksum; save the adapter again")
    return own


def _plain(value: Any) -> Any:
    """Return a value as JSON has it, sets and lists of names in one order."""
    if isinstance(value, set | list | tuple):
        items = [_plain(item) for item in value]
        return sorted(items) if all(isinstance(item, str) for item in items) else items
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return value.value if hasattr(value, "value") else value
