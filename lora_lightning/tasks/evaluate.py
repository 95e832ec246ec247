"""Evaluate: from predictions and references to scores."""

import json
import logging
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from lora_lightning.config.build import build
from lora_lightning.config.rules import check_config
from lora_lightning.data.datamodule import DataToTextModule
from lora_lightning.data.encoding import completion_text, context_text
from lora_lightning.decoding.writer import read_predictions
from lora_lightning.errors import InputError
from lora_lightning.evaluation.evaluation import Evaluation
from lora_lightning.evaluation.evaluation import evaluate as score
from lora_lightning.evaluation.grouping import group_rows, match_predictions
from lora_lightning.evaluation.protocols.protocol import ScoringProtocol
from lora_lightning.evaluation.published import published_scores
from lora_lightning.evaluation.segment import Segment, one_line
from lora_lightning.files import atomic_text, folder_name, write_json
from lora_lightning.runs.folder import SCORES, RunFolder, output_folder, remove_results
from lora_lightning.tasks.model import tokenizer_of
from lora_lightning.tracking.wandb_job import label_of, open_wandb

if TYPE_CHECKING:
    from lora_lightning.tracking.wandb_run import WandbRun

log = logging.getLogger(__name__)
FINISHED_WITH_A_HOLE = 3  # exit code where one metric could not be computed


def evaluate(config: DictConfig) -> None:
    """Score a run's predictions, or files from elsewhere; exit with 3 where a metric is missing.

    Raises:
        InputError: a key, a file or their combination is wrong; nothing is written then.
    """
    check_config(config)
    folder = output_folder()
    with open_wandb(config, folder, "evaluate") as wandb_run:
        evaluation = evaluate_into(config, folder, wandb_run)
    if evaluation is None:
        return
    if config.run is not None:
        log.info('next          python generate.py run=%s text="…"', config.run)
    if evaluation.not_computed:
        sys.exit(FINISHED_WITH_A_HOLE)


def evaluate_into(
    config: DictConfig, folder: Path, wandb_run: "WandbRun | None"
) -> Evaluation | None:
    """Score what `config` names into `folder`; None where `dry_run` asks what would be scored."""
    protocol = build(config.protocol)
    if config.hypotheses is not None:
        segments = read_files(config, protocol)
        is_published_set = True
    else:
        segments = segments_of(config, protocol, predictions_path(config))
        is_published_set = is_published_test_set(config)
    if config.dry_run:
        log.info("would score %d groups into %s", len(segments), folder)
        return None
    java = config.evaluation.java
    published = published_of(protocol, is_from_elsewhere=config.run is None)
    if wandb_run is not None:
        wandb_run.begin()
    evaluation = score_into(protocol, segments, folder, is_published_set, java, published)
    if wandb_run is not None:
        wandb_run.log_evaluation(folder, label_of(config))
    return evaluation


def evaluate_run(config: DictConfig, run: RunFolder, wandb_run: "WandbRun | None" = None) -> None:
    """Score the predictions of a run just decoded."""
    protocol = build(config.protocol)
    predictions = run.path / "predictions" / config.split / "predictions.jsonl"
    segments = segments_of(config, protocol, predictions)
    is_published_set = is_published_test_set(config)
    folder = run.path / "evaluation" / config.split
    java = config.evaluation.java
    published = published_of(protocol, is_from_elsewhere=False)
    score_into(protocol, segments, folder, is_published_set, java, published)
    if wandb_run is not None:
        wandb_run.log_evaluation(folder, label_of(config))


def read_files(config: DictConfig, protocol: ScoringProtocol) -> list[Segment]:
    """Read hypotheses and references from elsewhere.

    Raises:
        InputError: `references` is missing, or a file is wrong.
    """
    if config.references is None:
        raise InputError("hypotheses= needs references=: E2E one file, else [reference0,…]")
    references = config.references
    paths = [references] if isinstance(references, str) else list(references)
    return protocol.read(Path(config.hypotheses), [Path(path) for path in paths])


def predictions_path(config: DictConfig) -> Path:
    """Return the predictions.jsonl to score.

    Raises:
        InputError: none is named, or the run has none.
    """
    if config.predictions is not None:
        return Path(config.predictions)
    if config.run is None:
        raise InputError(
            "nothing to score: give run=<folder or latest>, predictions=<file>, or hypotheses= "
            "and references="
        )
    folder = RunFolder.open(config.run).path / "predictions" / config.split
    path = folder / folder_name(str(config.name)) / "predictions.jsonl"
    if not path.is_file():
        name = f" name={config.name}" if config.name else ""
        raise InputError(
            f"{path}: the run has no such predictions; run "
            f"python generate.py run={config.run} split={config.split}{name}"
        )
    return path


def segments_of(config: DictConfig, protocol: ScoringProtocol, predictions: Path) -> list[Segment]:
    """Match predictions with the references of their contexts, by id.

    Raises:
        InputError: the ids of the predictions are not exactly those of the contexts.
    """
    records = read_predictions(predictions)
    tokenizer = tokenizer_of(config)
    data: DataToTextModule = build(config.data, tokenizer=tokenizer, seed=config.seed)
    rows = [
        replace(
            example,
            context=context_text(example.context, tokenizer),
            completion=completion_text(example.completion, tokenizer),
        )
        for example in data.examples(config.split)
    ]
    groups = group_rows(rows)  # type: ignore[arg-type]
    texts = match_predictions(groups, [(record["id"], record["text"]) for record in records])
    return protocol.prepare(
        [
            Segment(
                one_line(text),
                tuple(one_line(reference) for reference in group.references),
                group.row_ids[0],
                group.context,
                group.seen,
            )
            for text, group in zip(texts, groups, strict=True)
        ]
    )


def score_into(
    protocol: ScoringProtocol,
    segments: list[Segment],
    folder: Path,
    is_published_set: bool,
    java: str | None,
    published: dict[str, dict[str, float]],
) -> Evaluation:
    """Score segments, write everything into `folder`, and print the table.

    Args:
        protocol: how to score.
        segments: what to score.
        folder: where the files go.
        is_published_set: whether this is meant to be the published test set; a difference is said.
        java: path of a Java program, or None for the one that comes along.
        published: the paper's numbers by subset and metric.
    """
    with Progress(
        console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()
    ) as progress:
        bar = progress.add_task("scoring", total=None)

        def show(label: str, done: int, total: int) -> None:
            progress.update(bar, description=f"scoring {label}", completed=done, total=total)
            if progress.disable and done < total:
                log.info("scoring       %d/%d %s", done + 1, total, label)

        evaluation = score(protocol, segments, show, java)
    differences = protocol.test_set_notes(evaluation.counts) if is_published_set else []
    evaluation.notes += differences
    remove_results(folder, SCORES)
    protocol.write(segments, folder)
    with atomic_text(folder / "sentences.jsonl") as file:
        for sentence in evaluation.sentences:
            file.write(json.dumps(sentence, ensure_ascii=False) + "\n")
    fields = (
        "scores",
        "subsets",
        "not_computed",
        "published_form",
        "counts",
        "signatures",
        "notes",
    )
    write_json(folder / "metrics.json", {key: getattr(evaluation, key) for key in fields})
    print_scores(protocol, evaluation, published if is_published_set and not differences else {})
    log.info("scores        %s", folder / "metrics.json")
    return evaluation


def is_published_test_set(config: DictConfig) -> bool:
    """Whether the whole test set of a public data set is scored."""
    is_public = HydraConfig.get().runtime.choices["data"] in ("e2e", "webnlg", "dart")
    return is_public and config.split == "test" and config.data.limit_test is None


def published_of(protocol: ScoringProtocol, is_from_elsewhere: bool) -> dict[str, dict[str, float]]:
    """Return the paper's numbers for this model and method; GPT-2 Medium, LoRA for other files."""
    if is_from_elsewhere:
        return published_scores(protocol.name, "gpt2_medium", "lora")
    choices = HydraConfig.get().runtime.choices
    return published_scores(protocol.name, choices["model"], choices["method"])


def print_scores(
    protocol: ScoringProtocol, evaluation: Evaluation, published: dict[str, dict[str, float]]
) -> None:
    """Print each metric as it is and as the paper prints it, with the paper's number beside it."""
    subsets: dict[str, dict[str, Any]] = {"all": evaluation.scores, **evaluation.subsets}
    table = Table("", "metric", "score", "as printed", "paper")
    for subset, scores in subsets.items():
        for metric, value in scores.items():
            ours = ("-", "-")
            if value is not None:
                ours = (f"{value:.6f}", protocol.published_form(metric, value))
            paper = published.get(subset, {}).get(metric)
            table.add_row(subset, metric, *ours, "" if paper is None else str(paper))
    Console().print(table)
    for metric, reason in evaluation.not_computed.items():
        log.warning("%s was not computed: %s", metric, reason)
    for note in evaluation.notes:
        log.info("note          %s", note)
