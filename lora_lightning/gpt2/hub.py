"""A base model's folder: a local one, the Hugging Face hub's cached one, or a download into it."""

import re
from pathlib import Path

from lora_lightning.errors import InputError, first_line

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
HUB_TIMEOUT = 5.0  # seconds until the hub counts as out of reach


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
    if folder.is_file():
        raise InputError(f"{key}={path}: is a file; give its folder, {folder.parent}")
    if folder.exists() or not re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)?", path):
        raise InputError(f"{key}={path}: no such folder; give a folder or a hub name")
    return cached_folder(path) or _downloaded_folder(path, key)


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
            f"({first_line(error)}); where there is a network, run `hf download {name} "
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
