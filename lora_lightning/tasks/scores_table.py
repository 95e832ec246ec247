"""Scores as a table for readers, or as one line of JSON for programs."""

import json
import logging
import sys
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from lora_lightning.evaluation.evaluation import Evaluation
from lora_lightning.evaluation.protocols.protocol import ScoringProtocol
from lora_lightning.paper.rows import NONE, PublishedRow, Scores
from lora_lightning.paper.table import rendered, table_of
from lora_lightning.process.terminal import terminal_width

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Published:
    """What stands beside our scores: the LoRA paper's row of the method, and every row like it."""

    paper: PublishedRow | None = None
    rows: list[PublishedRow] = field(default_factory=list)

    @property
    def means(self) -> Scores:
        """The LoRA paper's numbers by subset and metric; none without a row."""
        return NONE if self.paper is None else self.paper.scores


def print_json(record: dict[str, Any], published: Published) -> None:
    """Print what metrics.json holds, and the published numbers, as one line."""
    beside = {"paper": dict(published.means), "published": [asdict(row) for row in published.rows]}
    sys.stdout.write(json.dumps(record | beside, ensure_ascii=False) + "\n")


def print_scores(protocol: ScoringProtocol, evaluation: Evaluation, published: Published) -> None:
    """Print each metric as it is and as papers print it, and the published rows like it.

    Without published numbers there is no column and no table for them.
    """
    console = Console(width=terminal_width())
    console.print(scores_table(protocol, evaluation, published.means))
    if published.rows:
        table = table_of(published.rows, printed_scores(protocol, evaluation))
        console.print(rendered("published", table.fitting(console.width)))
    for metric, reason in evaluation.not_computed.items():
        log.warning("%s was not computed: %s", metric, reason)
    for note in evaluation.notes:
        log.info("note          %s", note)


def printed_scores(protocol: ScoringProtocol, evaluation: Evaluation) -> Scores:
    """Return our scores by subset and metric, on the scale on which papers print them."""
    return {
        subset: {
            metric: protocol.as_printed(metric, score)
            for metric, score in scores.items()
            if score is not None
        }
        for subset, scores in _by_subset(evaluation).items()
    }


def scores_table(protocol: ScoringProtocol, evaluation: Evaluation, means: Scores) -> Table:
    """Return the table of scores, with a column of the paper's where it has any of them."""
    subsets = _by_subset(evaluation)
    papers = {(subset, metric): str(means[subset][metric])
              for subset, scores in subsets.items() for metric in scores
              if metric in means.get(subset, {})}  # fmt: skip
    columns = ["", "metric", "score", "as printed", *(["paper"] if papers else [])]
    partial = evaluation.partial
    table = Table(*columns, caption=f"partial: {partial}" if partial else None)
    table.caption_justify = "left"
    mark = " (partial)" if partial else ""
    for subset, scores in subsets.items():
        for metric, value in scores.items():
            ours = ("-", "-")
            if value is not None:
                ours = (f"{value:.6f}{mark}", protocol.published_form(metric, value))
            paper = [papers.get((subset, metric), "")] if papers else []
            table.add_row(subset, metric, *ours, *paper)
    return table


def _by_subset(evaluation: Evaluation) -> dict[str, dict[str, Any]]:
    return {"all": evaluation.scores, **evaluation.subsets}
