"""One row of a data set, before tokenization."""

from dataclasses import dataclass
from pathlib import Path

from lora_lightning.errors import InputError


@dataclass(frozen=True, slots=True)
class Example:
    """A context and one text for it.

    Attributes:
        context: what is to be put in words; token ids (end token included) only from JSON lines
            that hold token ids.
        completion: the text; token ids (end token included) as for `context`.
        category: the topic, or where the text comes from, where the data set names one.
        seen: whether training holds the category, where the data set tells.
    """

    context: str | tuple[int, ...]
    completion: str | tuple[int, ...]
    category: str | None = None
    seen: bool | None = None


def first_contexts(examples: list[Example], count: int) -> list[Example]:
    """Return the rows of the first `count` distinct contexts, in order, with all their texts.

    The number of the row in which one of these contexts appears first stays the same.
    """
    kept = set(list(dict.fromkeys(example.context for example in examples))[:count])
    return [example for example in examples if example.context in kept]


def require_examples(found: object, reader: str) -> list[Example]:
    """Return what a data set of the user's own has read.

    Raises:
        InputError: it is no list of examples.
    """
    if not isinstance(found, list) or not all(isinstance(one, Example) for one in found):
        raise InputError(f"data._target_: {reader}.read() gives no list of Example; let it")
    return found


def require_path(found: object, reader: str) -> Path:
    """Return where a data set of the user's own has a split.

    Raises:
        InputError: it is no path.
    """
    if not isinstance(found, Path):
        raise InputError(
            f"data._target_: {reader}.path() gives {found!r}, where a pathlib.Path is needed; let "
            "it return one"
        )
    return found
