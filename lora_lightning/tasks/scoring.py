"""Segments to scores: the table on the terminal, metrics.json, sentences.jsonl.

Nothing here knows a model, so that scoring texts imports neither torch nor Lightning.
"""

import json
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console
from rich.progress import Progress

from lora_lightning.config.build import build
from lora_lightning.evaluation.evaluation import Evaluation, evaluate
from lora_lightning.evaluation.protocols.protocol import ScoringProtocol
from lora_lightning.evaluation.segment import Segment
from lora_lightning.evaluation.statistics_file import write_statistics
from lora_lightning.files import atomic_text, write_json
from lora_lightning.paper.beside import Trained, papers_row, rows_beside
from lora_lightning.runs.folder import SCORES, RunFolder, remove_results
from lora_lightning.runs.stored_results import read_record
from lora_lightning.tasks.scores_table import Published, print_json, print_scores

log = logging.getLogger(__name__)
FINISHED_WITH_A_HOLE = 3  # exit code where one metric could not be computed


@dataclass(frozen=True)
class Scoring:
    """How to score, and beside which published numbers.

    Attributes:
        protocol: the data set's.
        java: path of a Java program, or None for the one that comes along.
        is_published_set: whether this is meant to be the published test set; a difference is said.
        published: the rows of papers that stand beside.
        prints_json: whether the scores are printed for a program to read.
    """

    protocol: ScoringProtocol
    java: str | None
    is_published_set: bool
    published: Published
    prints_json: bool = False


def build_scoring(config: DictConfig, choices: Mapping[str, Any], run: RunFolder | None) -> Scoring:
    """Build the protocol, and look up what was published of this data set, model and method.

    Files from elsewhere stand beside the numbers of GPT-2 Medium and LoRA of rank 4.

    Args:
        config: the command's, or the run's.
        choices: group → option that was chosen.
        run: whose predictions are scored; None: files from elsewhere, or no run's.
    """
    protocol: ScoringProtocol = build(config.protocol)
    protocol.cache = None if config.paths.cache_dir is None else Path(config.paths.cache_dir)
    trained = Trained(protocol.name, "gpt2_medium", "lora", rank=4)
    if run is not None:
        trained = trained_by(run, protocol.name, choices, config.method.get("rank"))
    is_public = choices["data"] in ("e2e", "webnlg", "dart")
    is_whole_test_set = config.split == "test" and config.data.limit_test is None
    return Scoring(
        protocol,
        config.evaluation.java,
        config.get("hypotheses") is not None or (is_public and is_whole_test_set),
        Published(papers_row(trained), rows_beside(trained)),
        config.get("json", False),
    )


def trained_by(
    run: RunFolder, dataset: str, choices: Mapping[str, Any], rank: int | None
) -> Trained:
    """Return what the published rows of a run are looked up by.

    Args:
        run: the run.
        dataset: name of the protocol.
        choices: group → option that was chosen, of model and method.
        rank: of the method, where it has one.
    """
    record = run.path / "run.json"
    size = read_record(record).parameters.trainable if record.is_file() else None
    optimizer = run.choices.get("optimizer")
    return Trained(dataset, choices["model"], choices["method"], optimizer, rank, size)


def score_into(
    scoring: Scoring,
    segments: list[Segment],
    folder: Path,
    partial: str | None,
    notes: Sequence[str] = (),
) -> Evaluation:
    """Score segments, write everything into `folder`, and print the table.

    Args:
        scoring: how.
        segments: what.
        folder: of the results.
        partial: what of the split is left out, if anything.
        notes: remarks on where the segments come from.
    """
    protocol = scoring.protocol
    with Progress(
        console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()
    ) as progress:
        bar = progress.add_task("scoring", total=None)

        def show(label: str, done: int, total: int) -> None:
            progress.update(bar, description=f"scoring {label}", completed=done, total=total)
            if progress.disable and done < total:
                log.info("scoring       %d/%d %s", done + 1, total, label)

        evaluation = evaluate(protocol, segments, show, scoring.java)
    is_published_set = scoring.is_published_set
    differences = protocol.test_set_notes(evaluation.counts) if is_published_set else []
    evaluation.notes += [*notes, *differences]
    evaluation.partial = partial
    remove_results(folder, SCORES)
    protocol.write(segments, folder)
    with atomic_text(folder / "sentences.jsonl") as file:
        for sentence in evaluation.sentences:
            file.write(json.dumps(sentence, ensure_ascii=False) + "\n")
    write_statistics(folder, evaluation.statistics)
    fields = (
        "scores",
        "subsets",
        "not_computed",
        "breakdowns",
        "published_form",
        "counts",
        "signatures",
        "notes",
        "partial",
    )
    record = {key: getattr(evaluation, key) for key in fields} | {"protocol": protocol.name}
    write_json(folder / "metrics.json", record)
    published = scoring.published if is_published_set and not differences else Published()
    if scoring.prints_json:
        print_json(record, published)
    else:
        print_scores(protocol, evaluation, published)
    log.info("scores        %s", folder / "metrics.json")
    return evaluation
