"""A text of WebNLG with the triples it is for, whatever file it stood in."""

from collections.abc import Iterable
from typing import NamedTuple


class Entry(NamedTuple):
    """A text for some triples.

    Attributes:
        context: the linearised triples.
        category: the topic.
        shape: of the tree that the triples make.
        text: the text.
        tag: its language; empty where it has none.
        comment: of whoever checked it; empty where nobody did.
    """

    context: str
    category: str
    shape: str
    text: str
    tag: str
    comment: str


def linearised(triples: Iterable[Iterable[str]]) -> str:
    """Return triples of subject, property and object as the reference puts them in a row."""
    return " | ".join(" : ".join(triple) for triple in triples)
