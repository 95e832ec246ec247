"""Whether the modules that a configuration of PEFT names are there: PEFT ignores what is not."""

import re
from collections.abc import Iterable
from typing import Any

from transformers import PreTrainedModel

from lora_lightning.errors import InputError
from lora_lightning.methods.targets import matches_suffix

NAMES = ("target_modules", "exclude_modules", "feedforward_modules", "modules_to_save")
PATTERNS = ("rank_pattern", "alpha_pattern")
TIED = ("transformer.wte", "lm_head")


def check_names(config: Any, model: PreTrainedModel) -> None:
    """Check each name of a configuration against the modules of a model.

    Args:
        config: of PEFT, as a user wrote it.
        model: GPT-2, not wrapped yet.

    Raises:
        InputError: a name fits no module, or one whose weight is the embedding.
    """
    modules = [name for name, _ in model.named_modules() if name]
    for key in NAMES:
        given = getattr(config, key, None)
        for name in sorted(given) if isinstance(given, list | tuple | set) else ():
            fitting = [module for module in modules if matches_suffix(module, str(name))]
            _require(key, name, fitting, model)
    if isinstance(given := getattr(config, "target_modules", None), str):
        _refuse_tied("target_modules", given, (n for n in TIED if _matches(given, n)))
    for key in PATTERNS:
        for pattern, value in (getattr(config, key, None) or {}).items():
            if isinstance(value, int | float):  # AdaLoRA's has what it pruned
                fitting = [n for n in modules if _matches(rf"(.*\.)?({pattern})", n)]
                _require(key, pattern, fitting, model)
    layers = getattr(config, "layers_to_transform", None) or []
    number = model.config.n_layer
    for layer in layers if isinstance(layers, list | tuple) else [layers]:
        if not 0 <= layer < number:
            raise InputError(
                f"method.config.layers_to_transform: {layer} is none of the model's layers; "
                f"choose from 0 to {number - 1}"
            )
    if getattr(config, "trainable_token_indices", None):
        raise InputError(
            "method.config.trainable_token_indices: trains rows of wte, to which the output is "
            "tied; leave it out"
        )


def _require(key: str, name: object, fitting: list[str], model: PreTrainedModel) -> None:
    if not fitting:
        raise InputError(
            f"method.config.{key}: {name!r} fits no module of the model; choose from "
            f"{', '.join(_choices(model))}"
        )
    _refuse_tied(key, name, (module for module in fitting if module in TIED))


def _refuse_tied(key: str, name: object, tied: Iterable[str]) -> None:
    for _ in tied:
        raise InputError(
            f"method.config.{key}: {name!r} is tied with the embedding and the output, so it "
            "cannot have an update of its own; leave it out"
        )


def _matches(pattern: str, module: str) -> bool:
    try:
        return re.fullmatch(pattern, module) is not None
    except re.error:
        return False  # PEFT says so


def _choices(model: PreTrainedModel) -> list[str]:
    """Return the last parts of the names of what has weights of its own."""
    names = (re.sub(r"^.*\.\d+\.|^transformer\.", "", name) for name, module
             in model.named_modules() if list(module.parameters(recurse=False)))  # fmt: skip
    return [name for name in dict.fromkeys(names) if name not in ("wte", "wpe", "lm_head")]
