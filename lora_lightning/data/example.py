"""One row of a data set, before tokenization."""

from dataclasses import dataclass


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
