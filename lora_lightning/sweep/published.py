"""What was published of a sweep's settings, to stand beside its table and in its figures.

The LoRA paper's own sweep over the rank is its table 18: E2E, GPT-2 Medium, 26,000 updates. It says
neither how its validation loss is averaged nor which alpha it used.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora_lightning.errors import InputError
from lora_lightning.evaluation.protocols.dart import DARTProtocol
from lora_lightning.evaluation.protocols.e2e import E2EProtocol
from lora_lightning.evaluation.protocols.protocol import ScoringProtocol
from lora_lightning.evaluation.protocols.webnlg import WebNLGProtocol
from lora_lightning.paper.beside import RANK_SWEEP, Trained, rows_beside
from lora_lightning.paper.rows import PublishedRow, Scores, published_rows
from lora_lightning.paper.table import RowsTable, table_of
from lora_lightning.runs.folder import RunFolder
from lora_lightning.sweep.record import Plan
from lora_lightning.sweep.table import Row, best_first, mean_over_seeds

PROTOCOLS: dict[str, type[ScoringProtocol]] = {
    protocol.name: protocol for protocol in (E2EProtocol, WebNLGProtocol, DARTProtocol)
}
LABEL = "paper: E2E, GPT-2 Medium"
RANK = "method.rank"
SETTING = {"data": "e2e", "model": "gpt2_medium", "method": "lora"}  # of its sweep over the rank
PARAMETERS_PER_RANK = 98_304  # q and v in 24 layers, 1,024 wide: 24 · 2 · (1,024 + 1,024)
TEST = "test/"


@dataclass(frozen=True)
class Beside:
    """Published rows of one data set and model that a sweep's jobs have.

    Attributes:
        title: names both.
        rows: in their order.
        table: the rows as texts, with the distance of the best job's scores.
    """

    title: str
    rows: list[PublishedRow]
    table: RowsTable


def published_beside(plan: Plan, rows: list[Row]) -> list[Beside]:
    """Return the published rows of what the finished jobs trained, a table a data set and model."""
    of_kind = {kind: trained_in(row) for kind, row in kinds_of(plan, rows).items()}
    kinds = {row["job"]: of_kind.get(kind_of(plan, row)) for row in rows}
    trained = {job: settings for job, settings in kinds.items() if settings is not None}
    found = []
    for dataset, model in dict.fromkeys((one.dataset, one.model) for one in trained.values()):
        jobs = {job for job, one in trained.items() if (one.dataset, one.model) == (dataset, model)}
        chosen = [one for job, one in trained.items() if job in jobs]
        beside = [row for row in published_rows(dataset)
                  if any(row in rows_beside(one) for one in dict.fromkeys(chosen))]  # fmt: skip
        if beside:
            ours = best_scores(plan, [row for row in rows if row["job"] in jobs], dataset)
            title = f"published: {dataset}, {model}"
            found.append(Beside(title, beside, table_of(beside, ours)))
    return found


def kind_of(plan: Plan, row: Row) -> tuple[Any, ...]:
    """Return all of what makes jobs of one sweep differ that their published rows depend on."""
    options = [axis for axis in plan.axes if axis != "seed" and ("." not in axis or axis == RANK)]
    values = [row.get(axis) or row["job"] for axis in options]  # one that is unknown is its own
    return (row["status"], row.get("trainable_parameters"), *values)


def kinds_of(plan: Plan, rows: list[Row]) -> dict[tuple[Any, ...], Row]:
    """Return a job of each kind; to look into the folders of all would take a minute a thousand."""
    return {kind_of(plan, row): row for row in rows if row["status"] == "finished"}


def trained_in(row: Row) -> Trained | None:
    """Return what a finished job trained; None where its folder does not tell, or nobody asks."""
    if row["status"] != "finished":
        return None
    choices = choices_of(Path(row["folder"]), ("data", "model", "method", "optimizer"))
    if choices.get("data") not in PROTOCOLS:
        return None
    try:
        method = RunFolder.open(row["folder"]).resolved_config.method
    except InputError:
        return None
    return Trained(
        choices["data"],
        choices["model"],
        choices["method"],
        choices["optimizer"],
        method.get("rank"),
        row.get("trainable_parameters"),
    )


def best_scores(plan: Plan, rows: list[Row], dataset: str) -> Scores:
    """Return the best job's scores of the whole test set, means where seeds were swept.

    They are on the scale on which papers print.
    """
    rows = mean_over_seeds(plan, rows) if "seed" in plan.axes else rows
    best = best_first(plan, rows)[0]
    partial = best.get("partial", "").split()
    scores = {}
    for name, value in best.items():
        mean = value[0] if isinstance(value, tuple) else value
        if name.startswith(TEST) and name not in partial and mean is not None:
            metric = name.removeprefix(TEST)
            scores[metric] = PROTOCOLS[dataset].as_printed(metric, mean)
    return {"all": scores}


def choices_of(folder: Path, groups: tuple[str, ...]) -> dict[str, str]:
    """Return what a job chose of some groups; none where unknown."""
    try:
        choices = RunFolder.open(folder).choices
    except InputError:
        return {}
    return {group: str(choices.get(group)) for group in groups}


def is_the_papers(rows: list[Row]) -> bool:
    """Whether all jobs have the data set, the model and the method of the paper's own sweep."""
    groups = tuple(SETTING)
    return bool(rows) and all(choices_of(Path(row["folder"]), groups) == SETTING for row in rows)


def paper_curve(metric: str, over_parameters: bool = False) -> list[tuple[float, float]]:
    """Return (rank, score) points of the paper; empty where its table lacks the metric.

    Args:
        metric: `val/loss`, or a score such as `test/bleu`, on the official scorer's scale.
        over_parameters: give trainable parameters instead of ranks.
    """
    name = metric if metric == "val/loss" else metric.split("/")[-1]
    if metric.startswith("val/") != (name == "val/loss"):
        return []
    unit = PARAMETERS_PER_RANK if over_parameters else 1
    return [(rank * unit, score) for rank, score in _points(name)]


def _points(name: str) -> Iterator[tuple[int, float]]:
    factor = E2EProtocol.as_printed(name, 1.0)
    for row in published_rows("e2e"):
        score = row.scores["all"].get(name)
        if row.table == RANK_SWEEP and row.rank is not None and score is not None:
            yield row.rank, score / factor
