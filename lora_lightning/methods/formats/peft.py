"""Adapter folders in the layout of PEFT: adapter_config.json and adapter_model.safetensors.

PEFT loads our folders as they are, with equal outputs (`peft_tensors` says how slices fit in). Only
if it trained one of slices on would it train more than those. What PEFT cannot express, our own
settings and the base's fingerprint, lies beside it in lora_lightning.json.
"""

import math
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from lora_lightning.checksum import with_checksum, without_checksum
from lora_lightning.errors import InputError
from lora_lightning.files import read_json_object, write_json
from lora_lightning.gpt2.tensor_file import stored_checksum, write_tensors
from lora_lightning.methods.base import fingerprint, require_same_base
from lora_lightning.methods.biases import trained_biases
from lora_lightning.methods.dora import DoRA
from lora_lightning.methods.exceptions import RankAndAlpha
from lora_lightning.methods.formats.peft_config import (
    CONFIG,
    make_config,
    method_of,
    ours,
    read_config,
    scale_of,
    settings_of,
)
from lora_lightning.methods.formats.peft_tensors import (
    adapted_modules,
    file_name,
    peft_tensors,
    read_adapter,
    restack,
)
from lora_lightning.methods.formats.weights import Weights
from lora_lightning.methods.initial import STARTED
from lora_lightning.methods.inject import lora_layers
from lora_lightning.methods.lora import LoRALayer
from lora_lightning.methods.lora_method import LoRA
from lora_lightning.methods.targets import matches_suffix

TENSORS = "adapter_model.safetensors"
OLD_TENSORS = "adapter_model.bin"
OWN = "lora_lightning.json"
OF_TENSORS = "tensors_sha256"
OWN_KEYS = ("rank", "alpha", "dropout", "targets")
LATER_KEYS = ("exceptions", "init")  # which older folders lack


def is_peft_folder(path: Path) -> bool:
    """Whether a folder holds an adapter in PEFT's layout."""
    return (path / CONFIG).is_file()


def tensor_file(folder: Path) -> Path:
    """Return the file of a folder's tensors; older versions of PEFT wrote torch's format."""
    old = folder / OLD_TENSORS
    return old if old.is_file() and not (folder / TENSORS).is_file() else folder / TENSORS


def named_base(folder: Path) -> str | None:
    """Return the path or hub name of the base that a folder says it is for.

    Raises:
        InputError: the folder cannot be read.
    """
    name = read_json_object(folder / CONFIG).get("base_model_name_or_path")
    return name if isinstance(name, str) and name else None


def write_peft(folder: Path, model: PreTrainedModel, method: LoRA, base: str | None) -> None:
    """Write the adapter of `model` into an existing folder.

    Args:
        folder: takes the three files.
        model: its adapters have to be unmerged.
        method: the method that made `model` ready.
        base: name or path of the base model; null takes what transformers knows.
    """
    base = base or model.config.name_or_path or None
    settings = {key: getattr(method, key) for key in OWN_KEYS} | {"targets": list(method.targets)}
    settings["init"] = method.init
    if method.exceptions:
        settings["exceptions"] = [
            {**exception, "targets": list(exception["targets"])}  # type: ignore[arg-type]
            for exception in method.exceptions
        ]
    tensors = peft_tensors(model, method.bias)
    biases = trained_biases(model, method.bias)
    write_json(folder / CONFIG, make_config(model, method, base))
    named = {file_name(name, model): tensor for name, tensor in tensors.items()}
    settings |= {OF_TENSORS: write_tensors(folder / TENSORS, named)}
    settings |= {"base": {"name": base} | fingerprint(model, biases)}
    write_json(folder / OWN, with_checksum(settings))


def read_peft(folder: Path, model: PreTrainedModel, method: LoRA) -> Weights:
    """Read a folder that we or PEFT wrote for `model`.

    Raises:
        InputError: the folder holds something that no method computes, cannot be read, or was made
            for another base, method, rank, alpha, targets or bias; the message says which
            overrides fit.
    """
    config = read_config(folder)
    settings = describe_peft(folder)
    hint = _overrides(settings, method)
    _require_kind(settings, method, folder, hint)
    _require_start(settings, method, folder)
    own = _own_settings(folder)
    if own is not None:
        _require_settings(settings, method, folder, hint)
        ours = fingerprint(model, trained_biases(model, method.bias))
        require_same_base(ours, own["base"], folder)
    path = tensor_file(folder)
    found = read_adapter(path, model, method.bias)
    if path.name == TENSORS:
        _require_one_adapter(own or {}, folder)
    for name, layer in lora_layers(model).items():
        tensor = found.get(f"{name}.lora_A")
        if tensor is not None and tensor.dim() == 2:
            own_alpha = settings_of(name, config, folder / CONFIG).alpha
            scaled = scale_of(RankAndAlpha(len(tensor), own_alpha), config)
            _require_rank_and_scale(name, layer, len(tensor), scaled, path, hint)
    return restack(found, model, method.bias, path, hint)


def describe_peft(folder: Path) -> dict[str, Any]:
    """Return the `method` with which the folder loads, and its arguments.

    Raises:
        InputError: the folder cannot be read or holds something that no method computes.
    """
    config = read_config(folder)
    kind = {"method": method_of(config), "bias": config.get("bias") or "none"}
    own = _own_settings(folder)
    if own is not None:
        return kind | {key: own[key] for key in (*OWN_KEYS, *LATER_KEYS) if key in own}
    ranks = adapted_modules(tensor_file(folder))
    default = ours(RankAndAlpha(config["r"], config["lora_alpha"]), config)
    exceptions = _exceptions(ranks, default, config, folder)
    return kind | {
        **default._asdict(),
        "dropout": config.get("lora_dropout", 0.0),
        "targets": _targets(list(ranks), config),
        **({"exceptions": exceptions} if exceptions else {}),
    }


def _targets(modules: list[str], config: dict[str, Any]) -> list[str]:
    """Return what `method.targets` has to be for exactly these modules.

    Names in a list mean the same to PEFT and us. A regular expression, layers that are chosen and
    modules that are left out do not: there the modules are named one by one.
    """
    targets = config["target_modules"] if isinstance(config.get("target_modules"), list) else []
    chooses = config.get("layers_to_transform") is not None or config.get("exclude_modules")
    fitting = sorted(t for t in targets if any(matches_suffix(module, t) for module in modules))
    is_all = all(any(matches_suffix(module, t) for t in fitting) for module in modules)
    if is_all and not chooses:
        return fitting
    return [module.removeprefix("transformer.") for module in modules]


def _exceptions(
    ranks: dict[str, int], default: RankAndAlpha, config: dict[str, Any], folder: Path
) -> list[dict[str, Any]]:
    """Return `method.exceptions` for modules of another rank or alpha than the default.

    Raises:
        InputError: a tensor is of another rank than the config says.
    """
    grouped: dict[RankAndAlpha, list[str]] = {}
    for module, rank in ranks.items():
        settings = settings_of(module, config, folder / CONFIG)
        if rank != settings.rank:
            raise InputError(
                f"{tensor_file(folder)}: {module} has rank {rank}, but {CONFIG} says "
                f"{settings.rank}; give the two files of one adapter"
            )
        if (own := ours(settings, config)) != default:
            grouped.setdefault(own, []).append(module.removeprefix("transformer."))
    return [{"targets": names, **settings._asdict()} for settings, names in grouped.items()]


def _own_settings(folder: Path) -> dict[str, Any] | None:
    path = folder / OWN
    if not path.exists():
        return None
    own = without_checksum(read_json_object(path))
    if own is None:
        raise InputError(f"{path}: damaged, it does not fit its checksum; save the adapter again")
    for key in (*OWN_KEYS, "base"):
        if key not in own or (key == "base" and not isinstance(own[key], dict)):
            raise InputError(f"{path}: {key} is missing or wrong; save the adapter again")
    return own


def _require_one_adapter(own: dict[str, Any], folder: Path) -> None:
    """Check that settings and tensors were written together, where we wrote both and they say so.

    A copy that was cut short, or a kill between two files, can leave those of two adapters.
    """
    found = stored_checksum(folder / TENSORS)
    if found is not None and own.get(OF_TENSORS, found) != found:
        raise InputError(
            f"{folder}: {TENSORS} and {OWN} are of two adapters; copy or save both again"
        )


def _require_kind(settings: dict[str, Any], method: LoRA, folder: Path, hint: str) -> None:
    """Check what no rank and no alpha could make up for: DoRA or not, and the biases."""
    if (settings["method"] == DoRA.choice) != isinstance(method, DoRA):
        raise InputError(
            f"{folder}: is a {settings['method']} adapter, but method={method.choice}; set {hint}"
        )
    if settings["bias"] != method.bias:
        raise InputError(
            f"{folder}: was trained with bias={settings['bias']}, but method.bias={method.bias}; "
            f"set {hint}"
        )


def _require_start(settings: dict[str, Any], method: LoRA, folder: Path) -> None:
    """Check that A and B began in the base weight, or not, as the method has it."""
    theirs, ours = settings.get("init", "kaiming"), method.init
    if theirs != ours and {theirs, ours} & set(STARTED):
        mend = f"set method.init={theirs}" if theirs in STARTED else "leave out method.init"
        raise InputError(
            f"{folder}: was trained with method.init={theirs}, but here it is {ours}; {mend}"
        )


def _require_settings(settings: dict[str, Any], method: LoRA, folder: Path, hint: str) -> None:
    for key in ("rank", "alpha", "targets"):
        theirs, ours = settings[key], getattr(method, key)
        same = set(theirs) == set(ours) if key == "targets" else theirs == ours
        if not same:
            raise InputError(
                f"{folder}: was trained with {key} {_plain(theirs)}, but method.{key}="
                f"{_plain(ours)}; set {hint}"
            )


def _require_rank_and_scale(
    name: str, layer: LoRALayer, found: int, scaled: tuple[float, str], path: Path, hint: str
) -> None:
    expected = layer.products * layer.rank
    if found != expected:
        raise InputError(
            f"{path}: {name} has rank {found}, but method.rank={layer.rank} in "
            f"{layer.products} product(s) makes {expected}; set {hint}"
        )
    scale, formula = scaled
    if not math.isclose(scale, layer.scale, rel_tol=1e-6):
        raise InputError(
            f"{path}: {name} is scaled by {formula}, but method.alpha={layer.alpha} and "
            f"method.rank={layer.rank} scale by {layer.scale:g}; set {hint}"
        )


def _overrides(settings: dict[str, Any], method: LoRA) -> str:
    """Return the overrides that fit `settings`; kind and biases only where `method` differs."""
    keys = [f"method.{key}={_plain(settings[key])}" for key in ("rank", "alpha", "targets")]
    if settings["bias"] != method.bias:
        keys.append(f"method.bias={settings['bias']}")
    if exceptions := settings.get("exceptions"):
        keys.append(f"'method.exceptions={_plain(exceptions)}'")
    if settings["method"] != method.choice:
        keys.insert(0, f"method={settings['method']}")
    return " ".join(keys)


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_plain(item)}" for key, item in value.items()) + "}"
    return f"[{','.join(map(_plain, value))}]" if isinstance(value, list | tuple) else str(value)
