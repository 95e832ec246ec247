"""Predictions and scores of a run on disk, made where they are missing, outside of any command."""

from typing import Any

from omegaconf import DictConfig, OmegaConf

from lora_lightning.config.build import build
from lora_lightning.data.datamodule import DataToTextModule
from lora_lightning.data.encoding import encode_contexts
from lora_lightning.decoding.writer import read_predictions
from lora_lightning.errors import InputError
from lora_lightning.files import read_json
from lora_lightning.runs.folder import RunFolder
from lora_lightning.runs.holder import held_by_this_command
from lora_lightning.runs.stored_config import RESOLVED, named_in_errors
from lora_lightning.runs.stored_results import read_scores
from lora_lightning.tasks.decoder import Decoder
from lora_lightning.tasks.evaluate import score_run
from lora_lightning.tasks.generate import decode
from lora_lightning.tasks.setup import build_trainer, leave_out_hints

ONE_PROCESS = {"devices": 1, "num_nodes": 1, "strategy": "auto"}


def predictions_of(
    run: RunFolder, config: DictConfig, decoder: Decoder, split: str
) -> list[dict[str, Any]]:
    """Return a run's predictions of a split; where it has none, decode in this process first.

    Raises:
        InputError: the data is missing or wrong, or the predictions there are of another adapter.
    """
    folder = run.path / "predictions" / split
    if not (folder / "manifest.json").is_file():
        leave_out_hints()
        data = data_of(run, config)
        with held_by_this_command(folder):
            here = OmegaConf.merge(config.trainer, ONE_PROCESS)
            trainer = build_trainer(here, [], [], folder)  # type: ignore[arg-type]
            contexts = encode_contexts(data.contexts(split), decoder.tokenizer)
            decode(decoder, contexts, data.checksums(split), split, folder, trainer)
    settings = read_json(folder / "manifest.json")["settings"]
    if settings["adapter_sha256"] != sorted(decoder.adapter_checksums.values()):
        raise InputError(
            f"{folder}: predictions of another adapter than this checkpoint's; load the other "
            "checkpoint, or remove the folder"
        )
    return read_predictions(folder / "predictions.jsonl")


def scores_of(
    run: RunFolder, config: DictConfig, decoder: Decoder, split: str
) -> dict[str, float | None]:
    """Score a run's predictions of a split into the run, decoded first where it has none.

    Raises:
        InputError: as `predictions_of`, or their ids are not those of the data.
    """
    predictions_of(run, config, decoder, split)
    of_split: Any = OmegaConf.merge(config, {"split": split})
    score_run(of_split, run, data_of(run, config), [])
    return read_scores(run.path / "evaluation" / split / "metrics.json").scores


def data_of(run: RunFolder, config: DictConfig) -> DataToTextModule:
    """Build a run's data set."""
    with named_in_errors(run.path / RESOLVED):
        data: DataToTextModule = build(config.data)
    return data
