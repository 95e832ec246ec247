"""A base model's folder: a local one, the Hugging Face hub's cached one, or a download into it."""

import re
from collections.abc import Callable, Sequence
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
ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin",
                 "lora_lightning.json")  # fmt: skip
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
    return cached_folder(path) or _downloaded_folder(path, f"{key}={path}", _files_to_fetch)


def adapter_name(path: Path) -> str | None:
    """Return the hub name that a path which is not there may be: `owner/name`, else None."""
    name = path.as_posix()
    is_name = re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", name) is not None
    return name if is_name and not Path(path.parts[0]).is_dir() else None


def adapter_folder(name: str) -> Path:
    """Return the folder of a PEFT adapter on the hub, from its cache or downloaded into it.

    Raises:
        InputError: there is no such adapter within reach.
    """

    def to_fetch(files: list[str]) -> list[str]:
        return [file for file in files if file in ADAPTER_FILES]

    cached = cached_folder(name, ADAPTER_FILES[0], ADAPTER_FILES[1:3])
    return cached or _downloaded_folder(name, f"adapter={name}", to_fetch)


def is_same_base(one: str, other: str) -> bool:
    """Whether two paths or hub names mean one base, as far as the names tell.

    A name without an owner or a folder, such as `gpt2`, means any that ends with it.
    """
    if one == other:
        return True
    paths = [Path(name).expanduser() for name in (one, other)]
    if all(path.is_dir() for path in paths):
        return paths[0].samefile(paths[1])
    is_bare = any(len(path.parts) == 1 for path in paths)
    return is_bare and paths[0].name == paths[1].name


def cached_folder(
    name: str, configuration: str = "config.json", weights: Sequence[str] = WEIGHT_FILES
) -> Path | None:
    """Return a hub model's or adapter's folder in the cache, if configuration and weights are."""
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(name, configuration)
    if not isinstance(config, str):
        return None
    folder = Path(config).parent
    return folder if any(any(folder.glob(f"{file}*")) for file in weights) else None


def _downloaded_folder(name: str, given: str, to_fetch: Callable[[list[str]], list[str]]) -> Path:
    """Download what `to_fetch` chooses of a hub repository's files into the hub's cache."""
    from huggingface_hub import HfApi, snapshot_download

    try:
        # Asked first because it fails at once where there is no network; a download retries.
        info = HfApi().model_info(name, timeout=HUB_TIMEOUT)
        files = [sibling.rfilename for sibling in info.siblings or []]
        return Path(snapshot_download(name, allow_patterns=to_fetch(files)))
    except Exception as error:  # each version of the hub's client has another HTTP library
        folder, key = name.split("/")[-1], given.partition("=")[0]
        raise InputError(
            f"{given}: no such folder here, and not to be had from the Hugging Face hub "
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
