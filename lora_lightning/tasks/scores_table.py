"""Scores as a table for readers, or as one line of JSON for programs."""

import json
import logging
import sys
from typing import Any

from rich.console import Console
from rich.table import Table

from lora_lightning.evaluation.evaluation import Evaluation
from lora_lightning.evaluation.protocols.protocol import ScoringProtocol

log = logging.getLogger(__name__)
Published = dict[str, dict[str, float]]


def print_json(record: dict[str, Any], published: Published) -> None:
    """Print what metrics.json holds, and the paper's numbers by subset and metric, as one line."""
    sys.stdout.write(json.dumps(record | {"paper": published}, ensure_ascii=False) + "\n")


def print_scores(protocol: ScoringProtocol, evaluation: Evaluation, published: Published) -> None:
    """Print each metric as it is and as the paper prints it, with the paper's number beside it.

    Without published numbers there is no column for them.
    """
    Console().print(scores_table(protocol, evaluation, published))
    for metric, reason in evaluation.not_computed.items():
        log.warning("%s was not computed: %s", metric, reason)
    for note in evaluation.notes:
        log.info("note          %s", note)


def scores_table(protocol: ScoringProtocol, evaluation: Evaluation, published: Published) -> Table:
    """Return the table that `print_scores` prints."""
    subsets: dict[str, dict[str, Any]] = {"all": evaluation.scores, **evaluation.subsets}
    papers = {(subset, metric): str(published[subset][metric])
              for subset, scores in subsets.items() for metric in scores
              if metric in published.get(subset, {})}  # fmt: skip
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
