"""YAML files that a run left behind: read as data, within bounds, and every fault is one line."""

from functools import lru_cache
from itertools import accumulate
from pathlib import Path

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lora_lightning.errors import InputError, first_line
from lora_lightning.files import read_text

# What a run writes has some thousands of characters, and its lists hold no lists.
MOST_CHARACTERS, DEEPEST = 1 << 20, 50
EVENTS = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the fast one, where there is one
MEND = "put it back as the run wrote it, or train anew"


def read_yaml(path: Path) -> DictConfig:
    """Return the mapping in a YAML file, interpolations alive, to be read only.

    Only plain values are made of it. An alias, which no run writes, could stand for a value that
    is larger than all memory, and is refused.

    Raises:
        InputError: the file is missing, is cut off, or is no such mapping; the message names it.
    """
    return _parsed(path, read_text(path))


@lru_cache(maxsize=8)  # a command reads the same files again for each of its checks
def _parsed(path: Path, text: str) -> DictConfig:
    depths = accumulate({"[": 1, "{": 1, "]": -1, "}": -1}.get(character, 0) for character in text)
    if len(text) > MOST_CHARACTERS or max(depths, default=0) > DEEPEST:
        raise InputError(f"{path}: larger, or nested deeper, than what a run writes; {MEND}")
    if not text.endswith("\n"):
        raise InputError(f"{path}: {'cut off' if text else 'empty'}; {MEND}")
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, EVENTS)):
            raise InputError(f"{path}: holds an alias (*…), which no run writes; {MEND}")
        content = OmegaConf.create(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputError(f"{path}:{line}: no YAML ({error.problem}); {MEND}") from None
    except (yaml.YAMLError, OmegaConfBaseException, ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: no YAML of a config ({first_line(error)}); {MEND}") from None
    if not isinstance(content, DictConfig):
        raise InputError(f"{path}: holds no mapping of keys to values; {MEND}")
    OmegaConf.set_readonly(content, True)
    return content
