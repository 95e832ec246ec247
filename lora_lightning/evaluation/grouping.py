"""Which rows make one scored group, and which prediction belongs to it."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from lora_lightning.errors import InputError
from lora_lightning.evaluation.text import cut_text

Filter = Literal["all", "seen", "unseen"]


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
            Rows that the filter drops are among them: a prediction for any of them counts.
        references: the completions of the rows that pass the filter, cut as predictions are.
        seen: whether the category of the group's first row that passes is a seen one.
    """

    context: str
    row_ids: tuple[int, ...]
    references: tuple[str, ...]
    seen: bool | None = None


def group_rows(
    rows: Sequence[Row], filter: Filter = "all", group_ids: Sequence[Hashable] | None = None
) -> list[Group]:
    """Group rows by equal context, in order of first appearance among the rows that pass.

    Args:
        rows: the rows of a split in file order.
        filter: `seen` and `unseen` keep the rows of that kind of category.
        group_ids: one key a row in place of its context (the reference's `ref_unique_file`).

    Raises:
        InputError: `group_ids` has another length than `rows`.
    """
    if group_ids is not None and len(group_ids) != len(rows):
        raise InputError(f"{len(group_ids)} group ids for {len(rows)} rows; give one id a row")
    keys: Sequence[Hashable] = [row.context for row in rows] if group_ids is None else group_ids
    row_ids: dict[Hashable, list[int]] = {}
    for row_id, key in enumerate(keys):
        row_ids.setdefault(key, []).append(row_id)
    passing: dict[Hashable, list[Row]] = {}
    for row, key in zip(rows, keys, strict=True):
        if filter == "all" or row.seen is (filter == "seen"):
            passing.setdefault(key, []).append(row)
    return [
        Group(
            context=members[0].context,
            row_ids=tuple(row_ids[key]),
            references=tuple(cut_text(row.completion) for row in members),
            seen=members[0].seen,
        )
        for key, members in passing.items()
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


def last_predictions(groups: Sequence[Group], predictions: Iterable[tuple[int, str]]) -> list[str]:
    """Return each group's prediction from a file with one prediction a row, as the reference does.

    The last prediction of a group *in the file's order* stands, whichever row it belongs to.
    Rows of groups that the filter dropped are passed over.

    Raises:
        InputError: a group has no prediction.
    """
    positions = _group_of_row(groups)
    last = {
        positions[row_id]: (row_id, text) for row_id, text in predictions if row_id in positions
    }
    return match_predictions(groups, last.values())


def _group_of_row(groups: Sequence[Group]) -> Mapping[int, int]:
    return {row_id: i for i, group in enumerate(groups) for row_id in group.row_ids}
