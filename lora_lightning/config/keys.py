"""The keys that a command has, and the nearest one to a key that does not exist."""

from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from lora_lightning.config.compose import CONFIGS, composed
from lora_lightning.config.files import default_options, keys_of, options_of

ALIKE = 0.6  # of 1; less is no likeness
SAME_LAST_NAME = 0.85  # of keys that end alike, such as lora.rank and method.rank
ELSEWHERE = {
    "ckpt_path": "resume=<run folder> goes on with a run, adapter=<folder> starts from an adapter",
}  # what others call so


def unknown_key(key: str, keys: Iterable[str]) -> str:
    """Return the message for a key that does not exist: what it is meant to be, as far as known."""
    known = list(keys)
    if key in ELSEWHERE:
        return f"unknown key {key}: {ELSEWHERE[key]}"
    ends_alike = "." not in key and any(name.rpartition(".")[2] == key for name in known)
    if not ends_alike and (having := keys_of_options(key)):
        where = ", ".join(f"{name} with {option}" for option, name in having.items())
        return f"unknown key {key} with the options chosen; there is {where}"
    found = nearest(key, known)
    hint = f"; the nearest one is {found}" if found else ""
    group = key.partition(".")[0]
    if not found and group != key and (options := options_of(CONFIGS / group)):
        hint = f"; an option is chosen by {group}={' | '.join(options)}"
    return f"unknown key {key}{hint} (--help lists them all)"


def nearest(key: str, keys: Iterable[str]) -> str | None:
    """Return the key that is most like another one, None where none is much like it.

    The last part of a key counts by itself: `lr` is like `optimizer.lr`.
    """

    def likeness(candidate: str) -> float:
        ratio = SequenceMatcher(None, key, candidate).ratio()
        last = candidate.rpartition(".")[2]
        if "." not in key:
            return max(ratio, SequenceMatcher(None, key, last).ratio())
        return max(ratio, SAME_LAST_NAME * (key.rpartition(".")[2] == last))

    found = max(keys, key=likeness, default=None)
    return found if found is not None and likeness(found) >= ALIKE else None


def keys_of_options(key: str) -> dict[str, str]:
    """Return `group=option` → the key of that name, or that ends so, which the option has.

    Args:
        key: dotted, or the last part of one.
    """
    found = {}
    for group, default in default_options(CONFIGS / "train.yaml").items():
        if default == "null":  # such options preset the keys of others
            continue
        for option, file in options_of(CONFIGS / group).items():
            for name in (f"{group}.{name}" for name in keys_of(file)):
                if name == key or ("." not in key and name.rpartition(".")[2] == key):
                    found[f"{group}={option}"] = name
    return found


def existing_keys(command: str, arguments: list[str]) -> list[str]:
    """Return all keys and groups of the command's config with the user's group choices."""
    groups = {path.name for path in CONFIGS.iterdir() if path.is_dir()}
    chosen = [a for a in arguments if a.split("=")[0] in groups and "," not in a]
    try:
        return [*groups, *flat_keys(composed(command, chosen))]
    except HydraException:
        return []


def own_keys(config: DictConfig) -> list[str]:
    """Return the dotted keys of a composed config without those of Hydra."""
    own = OmegaConf.masked_copy(config, [str(name) for name in config if name != "hydra"])
    return list(flat_keys(own))


def flat_keys(config: DictConfig, prefix: str = "") -> Iterator[str]:
    """Yield the dotted keys of every leaf of a config, interpolations left alone."""
    for key, node in config.items_ex(resolve=False):
        name = prefix + str(key)
        if isinstance(node, DictConfig):
            yield from flat_keys(node, f"{name}.")
        else:
            yield name
