"""What is scored: one hypothesis against the references of its group."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lora_lightning.errors import InputError

# Python's line reader and Java's end a line at some or all of these; for us they are text.
LINE_SEPARATORS = frozenset("\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029")
_SPACE_FOR_SEPARATOR = {ord(character): " " for character in LINE_SEPARATORS}


@dataclass(frozen=True)
class Segment:
    """One hypothesis and its references.

    Attributes:
        hypothesis: the text that was generated.
        references: the texts it is compared with, at least one; any of them may be empty.
        id: the id of the prediction or the 0-based line of the hypothesis.
        context: the linearised input, where known.
        seen: whether the category occurs in training; None where unknown, then no subset has it.
        category: the topic, or where the texts come from; None where unknown.
    """

    hypothesis: str
    references: tuple[str, ...]
    id: int | str | None = None
    context: str | None = None
    seen: bool | None = None
    category: str | None = None

    @property
    def texts(self) -> tuple[str, ...]:
        """Hypothesis and references."""
        return (self.hypothesis, *self.references)


@dataclass(frozen=True)
class Tokenised:
    """The tokens of a segment."""

    hypothesis: list[str]
    references: list[list[str]]

    def record(self) -> dict[str, str | list[str]]:
        """Return the tokens joined by single spaces, for `sentences.jsonl`."""
        return {
            "hypothesis": " ".join(self.hypothesis),
            "references": [" ".join(tokens) for tokens in self.references],
        }


def tokenise_segments(
    segments: Sequence[Segment], tokenise: Callable[[str], list[str]]
) -> list[Tokenised]:
    """Tokenise every segment; a text that occurs often is tokenised once."""
    known: dict[str, list[str]] = {}

    def tokens(text: str) -> list[str]:
        if text not in known:
            known[text] = tokenise(text)
        return known[text]

    return [Tokenised(tokens(s.hypothesis), [tokens(r) for r in s.references]) for s in segments]


def check_segments(segments: Sequence[Segment]) -> None:
    """Check that there is something to score.

    Raises:
        InputError: there is no segment, or one has no reference.
    """
    if not segments:
        raise InputError("nothing to score: no predictions were given")
    for segment in segments:
        if not segment.references:
            raise InputError(f"the group with id {segment.id} has no reference text")


def subset_positions(segments: Sequence[Segment]) -> dict[str, list[int]]:
    """Return the positions of the seen and of the unseen segments; an empty subset is absent."""
    positions = {
        name: [i for i, segment in enumerate(segments) if segment.seen is seen]
        for name, seen in (("seen", True), ("unseen", False))
    }
    return {name: members for name, members in positions.items() if members}


def one_line(text: str) -> str:
    """Replace every line separator by a space, so that no tool takes one text for two."""
    return text.translate(_SPACE_FOR_SEPARATOR)


def separator_note(segments: Sequence[Segment]) -> str | None:
    """Say how many texts hold a line separator, or return None if none does."""
    count = sum(not LINE_SEPARATORS.isdisjoint(text) for s in segments for text in s.texts)
    if not count:
        return None
    return (
        f"{count} texts hold a line separator (line break, CR, form feed, U+2028 …); it is scored "
        "as white space, where the official scorers would take the text for two lines"
    )
