"""Which rows make one scored group, and which prediction belongs to it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from lora_lightning.errors import InputError
from lora_lightning.evaluation.text import cut_text


class Row(Protocol):
    """One row of a data set: an input, one of its reference texts, and its category's kind."""

    @property
    def context(self) -> str:
        """The linearised input."""

    @property
    def completion(self) -> str:
        """One reference text of it."""

    @property
    def seen(self) -> bool | None:
        """Whether the category occurs in training; None where the data set does not say."""


@dataclass(frozen=True)
class Group:
    """All rows of one context.

    Attributes:
        context: the linearised input of the group's first row.
        row_ids: numbers of its rows in the data set, from 0; the first is the group's own id.
        references: the completions of its rows, cut as predictions are.
        seen: whether the category of its first row is a seen one.
    """

    context: str
    row_ids: tuple[int, ...]
    references: tuple[str, ...]
    seen: bool | None = None


def group_rows(rows: Sequence[Row]) -> list[Group]:
    """Group the rows of a split by equal context, in order of first appearance.

    Args:
        rows: in file order.
    """
    row_ids: dict[str, list[int]] = {}
    for row_id, row in enumerate(rows):
        row_ids.setdefault(row.context, []).append(row_id)
    return [
        Group(
            context=context,
            row_ids=tuple(ids),
            references=tuple(cut_text(rows[row_id].completion) for row_id in ids),
            seen=rows[ids[0]].seen,
        )
        for context, ids in row_ids.items()
    ]


def match_predictions(groups: Sequence[Group], predictions: Iterable[tuple[int, str]]) -> list[str]:
    """Return the one prediction of each group, matched by id, never by position.

    Args:
        groups: the groups to score.
        predictions: (id, text), one for each group; the id is any row number of the group.

    Raises:
        InputError: an id is unknown, two predictions belong to one group, or a group has none.
    """
    positions = _group_of_row(groups)
    found: dict[int, tuple[int, str]] = {}
    for row_id, text in predictions:
        position = positions.get(row_id)
        if position is None:
            raise InputError(
                f"prediction id {row_id!r} is no row of the data; "
                "score the predictions with the data, split and limit they were made from"
            )
        if position in found:
            other = found[position][0]
            twice = f"id {row_id} twice" if other == row_id else f"ids {other} and {row_id}"
            raise InputError(f"two predictions for one context ({twice}); keep one of them")
        found[position] = (row_id, text)
    missing = [group.row_ids[0] for i, group in enumerate(groups) if i not in found]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(groups)} contexts have no prediction, the first with id "
            f"{missing[0]}; finish the predictions, or score fewer with data.limit_test"
        )
    return [found[position][1] for position in range(len(groups))]


def _group_of_row(groups: Sequence[Group]) -> Mapping[int, int]:
    return {row_id: i for i, group in enumerate(groups) for row_id in group.row_ids}
