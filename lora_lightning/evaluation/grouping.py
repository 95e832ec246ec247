"""Which rows make one scored group, and which prediction belongs to it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from lora_lightning.errors import InputError
from lora_lightning.evaluation.text import cut_text

LONGEST_SHOWN = 80


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

    @property
    def category(self) -> str | None:
        """The topic, or where the text comes from; None where the data set does not say."""


@dataclass(frozen=True)
class Group:
    """All rows of one context.

    Attributes:
        context: the linearised input of the group's first row.
        row_ids: numbers of its rows in the data set, from 0; the first is the group's own id.
        references: the completions of its rows, cut as predictions are.
        seen: whether the category of its first row is a seen one.
        category: that of its first row.
    """

    context: str
    row_ids: tuple[int, ...]
    references: tuple[str, ...]
    seen: bool | None = None
    category: str | None = None


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
            category=rows[ids[0]].category,
        )
        for context, ids in row_ids.items()
    ]


@dataclass(frozen=True)
class Prediction:
    """The text that was generated for one context.

    Attributes:
        id: number of one of the context's rows in the data that it was made from, or a given id.
        context: as it was decoded.
        text: what was generated.
    """

    id: int | str
    context: str
    text: str


def match_predictions(groups: Sequence[Group], predictions: Sequence[Prediction]) -> list[str]:
    """Return the text of each group: the one that was generated for its context.

    Ids cannot tell: the rows may stand in another order than those that were decoded. One that is
    no row at all belongs to other data.

    Args:
        groups: the groups to score; their contexts differ.
        predictions: one for each group.

    Raises:
        InputError: a prediction has no group, two predictions belong to one group, or a group has
            none; the message names the first difference.
    """
    by_context = {group.context: i for i, group in enumerate(groups)}
    context_of: dict[int | str, str] = {
        row_id: group.context for group in groups for row_id in group.row_ids
    }
    found: dict[int, Prediction] = {}
    for prediction in predictions:
        position = by_context.get(prediction.context)
        if position is None or prediction.id not in context_of:
            raise InputError(
                f"{_difference(prediction, context_of)}; score the predictions with the data, "
                "split and limit they were made from"
            )
        if position in found:
            other = found[position].id
            same = other == prediction.id
            twice = f"id {other} twice" if same else f"ids {other} and {prediction.id}"
            raise InputError(f"two predictions for one context ({twice}); keep one of them")
        found[position] = prediction
    missing = [group.row_ids[0] for i, group in enumerate(groups) if i not in found]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(groups)} contexts have no prediction, the first with id "
            f"{missing[0]}; finish the predictions, or score fewer with data.limit_test"
        )
    return [found[position].text for position in range(len(groups))]


def _difference(prediction: Prediction, context_of: Mapping[int | str, str]) -> str:
    """Return how a prediction differs from the row of the data that it names."""
    if prediction.id not in context_of:
        return f"prediction id {prediction.id!r} is no row of the data"
    found, expected = (_shown(c) for c in (prediction.context, context_of[prediction.id]))
    return f"prediction id {prediction.id} is for the context {found}, but that row has {expected}"


def _shown(context: str) -> str:
    return repr(context if len(context) <= LONGEST_SHOWN else context[:LONGEST_SHOWN] + "…")
