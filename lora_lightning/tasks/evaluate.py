"""Evaluate: from predictions and references to scores.

Texts are scored without torch, Lightning or transformers; what needs them is imported where it is
needed.
"""

import logging
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from lora_lightning.config.build import build
from lora_lightning.config.label import label_of_folder
from lora_lightning.config.rules import check_config
from lora_lightning.config.typed import as_typed, command_line
from lora_lightning.data.example import Example
from lora_lightning.decoding.writer import read_predictions
from lora_lightning.errors import InputError
from lora_lightning.evaluation.grouping import Prediction, group_rows, match_predictions
from lora_lightning.evaluation.protocols.protocol import ScoringProtocol
from lora_lightning.evaluation.segment import Segment, one_line
from lora_lightning.files import read_json_object
from lora_lightning.runs.folder import RunFolder, output_folder
from lora_lightning.runs.holder import held_by_this_command
from lora_lightning.runs.unset import groups_unset
from lora_lightning.tasks.scoring import FINISHED_WITH_A_HOLE, build_scoring, score_into

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger

    from lora_lightning.data.datamodule import DataToTextModule
    from lora_lightning.tracking.run_logger import RunLogger

log = logging.getLogger(__name__)


def evaluate(config: DictConfig) -> None:
    """Score a run's predictions, or files from elsewhere; exit with 3 where a metric is missing.

    Raises:
        InputError: a key, a file or their combination is wrong; nothing is written then.
    """
    check_config(config, groups_unset(config))
    folder = output_folder()
    run = None if config.run is None else RunFolder.open(config.run)
    scoring = build_scoring(config, HydraConfig.get().runtime.choices, run)
    with (
        held_by_this_command(folder, writes=not config.dry_run),
        _loggers(config, folder) as loggers,
    ):
        notes: list[str] = []
        if config.hypotheses is not None:
            segments, notes = read_files(config.hypotheses, config.references, scoring.protocol)
            partial = None
        else:
            predictions = predictions_path(config)
            data: DataToTextModule = build(config.data)
            segments = segments_of(data, config, scoring.protocol, predictions)
            partial = data.what_is_left_out(config.split)
        if config.dry_run:
            log.info("would score %d groups into %s", len(segments), config.output_dir)
            return
        for logger in loggers:
            logger.begin()
        evaluation = score_into(scoring, segments, folder, partial, notes)
        for logger in loggers:
            from lora_lightning.tasks.loggers import label_of

            logger.log_evaluation(folder, label_of(config))
    if run is not None:
        switch = run.switch(Path(config.paths.user_dir))
        line = command_line("generate.py", as_typed("run", config.run))
        log.info('next          %s text="…"%s', line, switch)
    if evaluation.not_computed:
        sys.exit(FINISHED_WITH_A_HOLE)


@contextmanager
def _loggers(config: DictConfig, folder: Path) -> Iterator[list["RunLogger"]]:
    """Yield the loggers that take scores."""
    if not config.logger:
        yield []
        return
    from lora_lightning.tasks.loggers import open_loggers
    from lora_lightning.tracking.run_logger import run_loggers

    with open_loggers(config, folder, "evaluate") as loggers:
        yield run_loggers(loggers)


def score_run(
    config: DictConfig, run: RunFolder, data: "DataToTextModule", loggers: Iterable["Logger"]
) -> None:
    """Score the predictions of a run just decoded."""
    from lora_lightning.tracking.run_logger import run_loggers

    scoring = build_scoring(config, run.choices, run)
    predictions = run.path / "predictions" / config.split / "predictions.jsonl"
    segments = segments_of(data, config, scoring.protocol, predictions)
    folder = run.path / "evaluation" / config.split
    with held_by_this_command(folder):
        score_into(scoring, segments, folder, data.what_is_left_out(config.split))
    for logger in run_loggers(loggers):
        logger.log_evaluation(folder, config.split)


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
    data: "DataToTextModule", config: DictConfig, protocol: ScoringProtocol, predictions: Path
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
    from lora_lightning.data.encoding import completion_text, context_text
    from lora_lightning.tasks.model import tokenizer_of

    tokenizer = tokenizer_of(model)
    return [
        replace(
            example,
            context=context_text(example.context, tokenizer),
            completion=completion_text(example.completion, tokenizer),
        )
        for example in examples
    ]
