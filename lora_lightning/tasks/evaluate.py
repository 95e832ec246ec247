"""Evaluate: from predictions and references to scores."""

import json
import logging
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig
from rich.console import Console
from rich.progress import Progress

from lora_lightning.config.build import build
from lora_lightning.config.label import label_of_folder
from lora_lightning.config.rules import check_config
from lora_lightning.config.typed import as_typed, command_line
from lora_lightning.data.datamodule import DataToTextModule
from lora_lightning.data.encoding import completion_text, context_text
from lora_lightning.data.example import Example
from lora_lightning.decoding.writer import read_predictions
from lora_lightning.errors import InputError
from lora_lightning.evaluation.evaluation import Evaluation
from lora_lightning.evaluation.evaluation import evaluate as score
from lora_lightning.evaluation.grouping import Prediction, group_rows, match_predictions
from lora_lightning.evaluation.protocols.protocol import ScoringProtocol
from lora_lightning.evaluation.segment import Segment, one_line
from lora_lightning.evaluation.statistics_file import write_statistics
from lora_lightning.files import atomic_text, read_json_object, write_json
from lora_lightning.paper.beside import Trained, papers_row, rows_beside
from lora_lightning.runs.folder import SCORES, RunFolder, output_folder, remove_results
from lora_lightning.runs.holder import held_by_this_command
from lora_lightning.runs.stored_results import read_record
from lora_lightning.tasks.loggers import label_of, open_loggers
from lora_lightning.tasks.model import tokenizer_of
from lora_lightning.tasks.result import FINISHED_WITH_A_HOLE
from lora_lightning.tasks.scores_table import Published, print_json, print_scores
from lora_lightning.tracking.run_logger import run_loggers

log = logging.getLogger(__name__)


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


def evaluate(config: DictConfig) -> None:
    """Score a run's predictions, or files from elsewhere; exit with 3 where a metric is missing.

    Raises:
        InputError: a key, a file or their combination is wrong; nothing is written then.
    """
    check_config(config)
    folder = output_folder()
    run = None if config.run is None else RunFolder.open(config.run)
    scoring = build_scoring(config, HydraConfig.get().runtime.choices, run)
    with (
        held_by_this_command(folder, writes=not config.dry_run),
        open_loggers(config, folder, "evaluate") as loggers,
    ):
        notes: list[str] = []
        if config.hypotheses is not None:
            segments, notes = read_files(config.hypotheses, config.references, scoring.protocol)
            partial = None
        else:
            predictions = predictions_path(config)
            data: DataToTextModule = build(config.data, tokenizer=None, seed=config.seed)
            segments = segments_of(data, config, scoring.protocol, predictions)
            partial = data.what_is_left_out(config.split)
        if config.dry_run:
            log.info("would score %d groups into %s", len(segments), config.output_dir)
            return
        for logger in run_loggers(loggers):
            logger.begin()
        evaluation = score_into(scoring, segments, folder, partial, notes)
        for logger in run_loggers(loggers):
            logger.log_evaluation(folder, label_of(config))
    if run is not None:
        switch = run.switch(Path(config.paths.user_dir))
        line = command_line("generate.py", as_typed("run", config.run))
        log.info('next          %s text="…"%s', line, switch)
    if evaluation.not_computed:
        sys.exit(FINISHED_WITH_A_HOLE)


def score_run(
    config: DictConfig, run: RunFolder, data: DataToTextModule, loggers: Iterable[Logger]
) -> None:
    """Score the predictions of a run just decoded."""
    scoring = build_scoring(config, run.choices, run)
    predictions = run.path / "predictions" / config.split / "predictions.jsonl"
    segments = segments_of(data, config, scoring.protocol, predictions)
    folder = run.path / "evaluation" / config.split
    with held_by_this_command(folder):
        score_into(scoring, segments, folder, data.what_is_left_out(config.split))
    for logger in run_loggers(loggers):
        logger.log_evaluation(folder, config.split)


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


def read_files(
    hypotheses: str, references: str | Sequence[str] | None, protocol: ScoringProtocol
) -> tuple[list[Segment], list[str]]:
    """Read hypotheses and references from elsewhere.

    Returns:
        Segments to score, and remarks on how the files were read.

    Raises:
        InputError: `references` is missing, or a file is wrong.
    """
    if references is None:
        raise InputError("hypotheses= needs references=: E2E one file, else [reference0,…]")
    paths = [Path(p) for p in ([references] if isinstance(references, str) else references)]
    segments = protocol.read(Path(hypotheses), paths)
    return segments, protocol.file_notes(Path(hypotheses), paths)


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
    path = folder / label_of_folder(config.name) / "predictions.jsonl"
    if not path.is_file():
        keys = [key for key in ("run", "split", "name") if config[key] not in (None, "")]
        given = [as_typed(key, str(config[key])) for key in keys]
        raise InputError(
            f"{path}: the run has no such predictions; run {command_line('generate.py', *given)}"
        )
    return path


def segments_of(
    data: DataToTextModule, config: DictConfig, protocol: ScoringProtocol, predictions: Path
) -> list[Segment]:
    """Match predictions with the references of their contexts.

    Raises:
        InputError: the predictions are for another split, or for other contexts.
    """
    require_split(predictions, config.split)
    records = read_predictions(predictions)
    groups = group_rows(text_rows(data.examples(config.split), config.model))  # type: ignore[arg-type]
    texts = match_predictions(
        groups, [Prediction(record["id"], record["context"], record["text"]) for record in records]
    )
    return protocol.prepare(
        [
            Segment(
                one_line(text),
                tuple(one_line(reference) for reference in group.references),
                group.row_ids[0],
                group.context,
                group.seen,
                group.category,
            )
            for text, group in zip(texts, groups, strict=True)
        ]
    )


def require_split(predictions: Path, split: str) -> None:
    """Check that the manifest beside predictions, where there is one, says that they are a split's.

    Raises:
        InputError: they are another split's, or were made from `inputs=`; or the manifest is none.
    """
    path = predictions.with_name("manifest.json")
    if not path.is_file():
        return
    settings = read_json_object(path).get("settings")
    made_for = settings.get("split", split) if isinstance(settings, dict) else split
    if made_for is None:
        raise InputError(
            f"{predictions}: made from inputs=, which have no references; score what "
            f"generate.py decodes with split={split}"
        )
    if made_for != split:
        raise InputError(
            f"{predictions}: made for split={made_for}, not for split={split}; give the former"
        )


def text_rows(examples: list[Example], model: DictConfig) -> list[Example]:
    """Return rows as texts; only rows of token ids need a tokenizer, and so the base's folder."""
    if all(isinstance(e.context, str) and isinstance(e.completion, str) for e in examples):
        return examples
    tokenizer = tokenizer_of(model)
    return [
        replace(
            example,
            context=context_text(example.context, tokenizer),
            completion=completion_text(example.completion, tokenizer),
        )
        for example in examples
    ]


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

        evaluation = score(protocol, segments, show, scoring.java)
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
