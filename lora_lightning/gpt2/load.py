"""GPT-2 base weights, loaded completely or not at all.

The model is transformers' `GPT2LMHeadModel`, with the reference's one difference: no dropout. Its
projections are `GPT2Projection`, which any transformers or PEFT code takes for the `Conv1D` it is.
transformers is imported where it is used, as that takes seconds.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lora_lightning.errors import InputError, first_line
from lora_lightning.files import read_json_object
from lora_lightning.gpt2.empty import empty_modules
from lora_lightning.gpt2.hub import WEIGHT_FILES, base_folder

if TYPE_CHECKING:
    from transformers.models.gpt2 import GPT2LMHeadModel

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
NO_DROPOUT = {"embd_pdrop": 0.0, "attn_pdrop": 0.0, "resid_pdrop": 0.0}


def load_base(path: str, dtype: str = "float32") -> "GPT2LMHeadModel":
    """Load a pretrained GPT-2 without dropout, its output head tied to the token embedding.

    Args:
        path: `model.path`, a local folder with `config.json` and `model.safetensors` or
            `pytorch_model.bin` (either may be in shards), or the name of such a model on the hub.
        dtype: `model.dtype`, `float32` or `bfloat16`, whatever the file has.

    Returns:
        The model on the CPU, in evaluation mode.

    Raises:
        InputError: the folder, its configuration or a weight file is missing, damaged or not
            GPT-2's, or the hub has no such model or is out of reach.
    """
    if dtype not in DTYPES:
        raise InputError(f"model.dtype={dtype}: allowed is {' | '.join(DTYPES)}")
    folder = base_folder(path)
    model = _empty_model(folder / "config.json")
    weights = _read_weights(folder, model)
    _check_tensors(weights, dict(model.named_parameters()), folder)
    converted = {name: tensor.to(DTYPES[dtype]) for name, tensor in weights.items()}
    # Not strict: the tied head is no tensor of its own; all others have been checked.
    model.load_state_dict(converted, strict=False, assign=True)
    model.tie_weights()
    return model.eval()


def check_vocabulary(model: "GPT2LMHeadModel", vocab_size: int) -> None:
    """Check that the model has an embedding for every token id.

    Args:
        model: the base.
        vocab_size: of the tokenizer, its largest id + 1.

    Raises:
        InputError: the tokenizer has ids that the model does not.
    """
    embeddings = model.config.vocab_size
    if vocab_size > embeddings:
        raise InputError(
            f"the tokenizer has {vocab_size} tokens, the model only {embeddings}: model.path and "
            "model.tokenizer do not belong together; leave model.tokenizer at the model's own"
        )


def _empty_model(file: Path) -> "GPT2LMHeadModel":
    """Build the model that a config.json describes, without dropout and without memory."""
    settings = read_json_object(file)
    # The oldest GPT-2 configurations do not name their type; the weights must fit them anyway.
    if settings.get("model_type", "gpt2") != "gpt2":
        raise InputError(
            f"{file}: is no GPT-2 (its model_type must be gpt2); set another model.path"
        )
    from transformers.models.gpt2 import GPT2Config, GPT2LMHeadModel

    from lora_lightning.gpt2.projection import with_own_projections

    try:
        config = GPT2Config.from_dict(settings | NO_DROPOUT, attn_implementation="sdpa")
        with empty_modules():
            model = GPT2LMHeadModel(config)
    except Exception as error:  # transformers has its own classes for wrong types and values
        raise InputError(f"{file}: describes no GPT-2 ({first_line(error)})") from None
    with_own_projections(model)
    return model


def _weight_files(folder: Path) -> list[Path]:
    """Return the file or shards that hold the weights, safetensors before pickles."""
    for name in WEIGHT_FILES:
        index = folder / f"{name}.index.json"
        if (folder / name).is_file():
            return [folder / name]
        if index.is_file():
            return _shards(index)
    raise InputError(f"{folder}: holds neither {' nor '.join(WEIGHT_FILES)}")


def _shards(index: Path) -> list[Path]:
    try:
        names: set[str] = set(read_json_object(index)["weight_map"].values())
    except (KeyError, TypeError, AttributeError):
        raise InputError(f"{index}: is no index of weight files") from None
    if elsewhere := [name for name in names if Path(name).name != name]:
        raise InputError(f"{index}: {elsewhere[0]!r} is no name of a file beside it")
    return [index.parent / name for name in sorted(names)]


def _read_weights(folder: Path, model: "GPT2LMHeadModel") -> dict[str, Tensor]:
    """Return the tensors of a folder under the model's parameter names.

    The hub's older files leave out `transformer.` and hold the causal mask, which is no parameter.
    """
    from lora_lightning.gpt2.weights import (
        read_named_tensors,
        require_tied_head,
        require_vocabulary,
    )

    ours = dict(model.named_parameters())
    tensors: dict[str, Tensor] = {}
    for file in _weight_files(folder):
        found = read_named_tensors(file, model)
        if any(".lora_" in name for name in found):
            raise InputError(f"{file}: holds LoRA tensors; a base has none, give it as adapter=")
        require_tied_head(found, ours, model, file)
        require_vocabulary(found, ours, model, file)
        tensors |= found
    return tensors


def _check_tensors(
    weights: dict[str, Tensor], expected: dict[str, torch.nn.Parameter], folder: Path
) -> None:
    """Check that there is one tensor of the right shape for each parameter, and no other."""
    missing = [name for name in expected if name not in weights]
    unexpected = [name for name in weights if name not in expected]
    if missing or unexpected:
        raise InputError(
            f"{folder}: the weights do not fit config.json: {_listed(missing)} missing, "
            f"{_listed(unexpected)} unexpected; give the weights and the configuration of one model"
        )
    for name, parameter in expected.items():
        found = weights[name]
        if found.shape != parameter.shape or not found.is_floating_point():
            raise InputError(
                f"{folder}: {name} is {tuple(found.shape)} {found.dtype}, but config.json asks for "
                f"{tuple(parameter.shape)} floating-point numbers"
            )


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    if not names:
        return "none"
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
