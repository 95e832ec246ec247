"""Which published rows stand beside a run, and how far its scores are from theirs."""

import math
from dataclasses import dataclass

from lora_lightning.paper.rows import ORIGINAL, PublishedRow, Scores, published_rows

OUR_ADAMW = ("adamw", "adamw_reference")
RANK_SWEEP = 18
"""The LoRA paper's table of ranks: E2E, GPT-2 Medium."""


@dataclass(frozen=True)
class Trained:
    """What published rows are looked up by.

    Attributes:
        dataset: `e2e`, `webnlg` or `dart`; of any other there are no rows.
        model: option of the group `model`.
        method: option of the group `method`.
        optimizer: option of the group `optimizer`; None: any.
        rank: of LoRA; None: any.
        trainable: number of trained parameters, where it is known.
    """

    dataset: str
    model: str
    method: str
    optimizer: str | None = None
    rank: int | None = None
    trainable: int | None = None


def rows_beside(trained: Trained) -> list[PublishedRow]:
    """Return the rows of the same data set, model, method and optimizer, and the paper's own LoRA.

    A row that states another rank, or another optimizer than AdamW where none is known, is left
    out; the LoRA paper's own row is there whatever the method is, as that is what every method is
    compared with.
    """
    rows = [row for row in published_rows(trained.dataset) if row.model == trained.model]
    return [row for row in rows if _is_of(trained, row) or _is_the_original(row)]


def papers_row(trained: Trained) -> PublishedRow | None:
    """Return the LoRA paper's row of the method, the nearest of several sizes; None without one."""
    rows = [row for row in rows_beside(trained) if row.paper == ORIGINAL and _is_of(trained, row)]
    if trained.trainable is None or len(rows) < 2 or any(row.size is None for row in rows):
        return rows[0] if rows else None
    size = math.log(trained.trainable)
    return min(rows, key=lambda row: abs(math.log(row.size or 1) - size))


def _is_of(trained: Trained, row: PublishedRow) -> bool:
    optimizer = "adamw" if trained.optimizer in (None, *OUR_ADAMW) else trained.optimizer
    if row.rank is not None and trained.rank is not None and row.rank != trained.rank:
        return False
    return (row.method, row.optimizer) == (trained.method, optimizer)


def _is_the_original(row: PublishedRow) -> bool:
    return row.paper == ORIGINAL and row.method == "lora" and row.table != RANK_SWEEP


def distance(row: PublishedRow, subset: str, metric: str, ours: Scores) -> float | None:
    """Return ours less theirs in their standard deviations; None where one of them is unknown.

    Args:
        row: theirs.
        subset: `all`, `seen` or `unseen`.
        metric: such as `bleu`.
        ours: on the scale on which papers print.
    """
    deviation = row.std.get(subset, {}).get(metric)
    score = ours.get(subset, {}).get(metric)
    if not deviation or score is None or not row.comparable:
        return None
    return (score - row.scores[subset][metric]) / deviation
