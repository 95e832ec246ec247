"""GPT-2 base weights: from a local folder or the Hugging Face hub, loaded completely or not at all.

The model is transformers' `GPT2LMHeadModel`, with the reference's one difference: no dropout.
transformers is imported where it is used, as that takes seconds.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lora_lightning.errors import InputError
from lora_lightning.files import read_json_object

if TYPE_CHECKING:
    from transformers.models.gpt2 import GPT2LMHeadModel

WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
COMPANION_FILES = (  # fetched beside the weights
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
)
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
HUB_TIMEOUT = 5.0  # seconds until the hub counts as out of reach
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
    from lora_lightning.model.mixed import let_precisions_mix

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
    let_precisions_mix(model)
    return model.eval()


def base_folder(path: str, key: str = "model.path") -> Path:
    """Return the folder that holds a base model and, where it has one, its tokenizer.

    Args:
        path: `model.path`, a local folder, or a hub name. The latter is looked for in the hub's
            cache first, so that a model once fetched needs no network, and else downloaded into it.
        key: the config key that names it, for messages.

    Raises:
        InputError: there is no such folder, nor such a model within reach.
    """
    folder = Path(path).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists() or not re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)?", path):
        raise InputError(f"{key}={path}: no such folder; give a folder or a hub name")
    return cached_folder(path) or _downloaded_folder(path, key)


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

    try:
        config = GPT2Config.from_dict(settings | NO_DROPOUT, attn_implementation="sdpa")
        with torch.device("meta"):
            return GPT2LMHeadModel(config)
    except Exception as error:  # transformers has its own classes for wrong types and values
        raise InputError(f"{file}: describes no GPT-2 ({_first_line(error)})") from None


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
        names = set(read_json_object(index)["weight_map"].values())
    except (KeyError, TypeError, AttributeError):
        raise InputError(f"{index}: is no index of weight files") from None
    return [index.parent / name for name in sorted(names)]


def _read_weights(folder: Path, model: "GPT2LMHeadModel") -> dict[str, Tensor]:
    """Return the tensors of a folder under the model's parameter names.

    The hub's older files leave out `transformer.` and hold the causal mask, which is no parameter.
    """
    from lora_lightning.methods.weights import read_weights

    tensors: dict[str, Tensor] = {}
    for file in _weight_files(folder):
        weights = read_weights(file, model)
        if weights.adapter:
            raise InputError(f"{file}: holds LoRA tensors; a base has none, give it as adapter=")
        tensors |= weights.base
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


def cached_folder(name: str) -> Path | None:
    """Return a hub model's folder in the cache, if it has a configuration and weights."""
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(name, "config.json")
    if not isinstance(config, str):
        return None
    folder = Path(config).parent
    has_weights = any(any(folder.glob(f"{weights}*")) for weights in WEIGHT_FILES)
    return folder if has_weights else None


def _downloaded_folder(name: str, key: str) -> Path:
    """Download configuration, tokenizer and one form of the weights into the hub's cache."""
    from huggingface_hub import HfApi, snapshot_download

    try:
        # Asked first because it fails at once where there is no network; a download retries.
        info = HfApi().model_info(name, timeout=HUB_TIMEOUT)
        files = [sibling.rfilename for sibling in info.siblings or []]
        return Path(snapshot_download(name, allow_patterns=_files_to_fetch(files)))
    except Exception as error:  # each version of the hub's client has another HTTP library
        folder = name.split("/")[-1]
        raise InputError(
            f"{key}={name}: no such folder here, and not to be had from the Hugging Face hub "
            f"({_first_line(error)}); where there is a network, run `hf download {name} "
            f"--local-dir {folder}`, bring the folder here and give {key}=<folder>"
        ) from None


def _files_to_fetch(files: list[str]) -> list[str]:
    """Choose from a hub model's files: not the same weights for four other frameworks."""
    wanted = [file for file in files if file in COMPANION_FILES]
    for weights in WEIGHT_FILES:
        stem, ending = weights.split(".")
        parts = [file for file in files if re.fullmatch(rf"{stem}[^/]*\.{ending}.*", file)]
        if parts:
            return wanted + parts
    return wanted


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
