"""Generate: from a model and contexts to predictions."""

import hashlib
import json
import logging
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from omegaconf import DictConfig

from lora_lightning.config.build import build
from lora_lightning.config.typed import as_typed, command_line
from lora_lightning.data.datamodule import DataToTextModule
from lora_lightning.data.encoding import Context, encode_contexts
from lora_lightning.data.inputs import read_inputs
from lora_lightning.data.tokenizer import Tokenizer
from lora_lightning.decoding.seat import DECODING_SEAT
from lora_lightning.decoding.writer import (
    finished_records,
    merge_shards,
    read_predictions,
    remove_shards,
)
from lora_lightning.errors import InputError
from lora_lightning.files import write_json
from lora_lightning.process import process_rank
from lora_lightning.process.ranks import missing_ranks, named
from lora_lightning.runs.folder import (
    PREDICTIONS,
    UNFINISHED,
    RunFolder,
    output_folder,
    remove_results,
)
from lora_lightning.runs.holder import held_by_this_command
from lora_lightning.runs.isolation import needs_isolation, own_overrides, run_isolated
from lora_lightning.tasks.decoder import Decoder, chosen_adapters, load_decoder, make_queries
from lora_lightning.tasks.loggers import label_of, open_loggers
from lora_lightning.tasks.model import adapters_of_run
from lora_lightning.tasks.prediction import BeamDecoding, rank_loader
from lora_lightning.tasks.setup import build_trainer, start
from lora_lightning.tracking.run_logger import run_loggers

log = logging.getLogger(__name__)
PATIENCE = timedelta(minutes=30)  # with ranks that decode longer than this one


def generate(config: DictConfig) -> None:
    """Decode what `config` names: a file of inputs, or a split.

    Raises:
        InputError: a key, a file or their combination is wrong.
    """
    if DECODING_SEAT.get() is None and needs_isolation(config):
        run_isolated("generate")
        return
    start(config)
    folder = output_folder()
    with (
        held_by_this_command(folder, writes=not config.dry_run),
        open_loggers(config, folder, "generate") as loggers,
    ):
        if config.overwrite and not config.dry_run and process_rank() == 0:
            remove_results(folder, UNFINISHED)
        pl.seed_everything(config.seed, workers=True, verbose=False)
        decoder = load_decoder(config, chosen_adapters(config))
        contexts, checksums = contexts_of(config, decoder.tokenizer)
        trainer = build_trainer(config.trainer, [], [], folder)
        if config.dry_run:
            log.info("would decode %d contexts into %s", len(contexts), config.output_dir)
            return
        for logger in run_loggers(loggers):
            logger.begin()
        split = config.split if config.inputs is None else None
        decode(decoder, contexts, checksums, split, folder, trainer)
        for logger in run_loggers(loggers):
            logger.log_predictions(folder, label_of(config), config.checkpoint)
    if trainer.is_global_zero and config.inputs is None:
        say_next(config, folder)


def say_next(config: DictConfig, folder: Path) -> None:
    """Say how to score what was decoded."""
    run = RunFolder.open(config.run) if config.run else None
    given = {} if run is None else {"run": config.run}
    of_split = None if run is None else (run.path / "predictions" / config.split).resolve()
    if (here := folder.resolve()) == of_split or here.parent == of_split:
        named = {"name": here.name if here != of_split else ""}
    else:  # where the user, or a sweep of several keys, wants them
        named = {"predictions": f"{here}/predictions.jsonl"}
    same = {"split": config.split} | named
    given |= {key: value for key, value in same.items() if value not in ("test", "")}
    overrides = [as_typed(key, str(value)) for key, value in given.items()] + own_data(run)
    switch = "" if run is None else run.switch(Path(config.paths.user_dir))
    log.info("next          %s%s", command_line("evaluate.py", *overrides), switch)


def own_data(run: RunFolder | None) -> list[str]:
    """Return the overrides that give this command other data than another one would have.

    Args:
        run: whose data it has where nothing is given; None: the default's.
    """
    given = [override for override in own_overrides() if override.startswith(("data=", "data."))]
    of_run = "" if run is None else f"data={run.choices['data']}"
    return [override for override in given if override != of_run]


def decode_run(
    config: DictConfig, run: RunFolder, data: DataToTextModule, trainer: pl.Trainer
) -> None:
    """Decode the split of a run that has just been trained, with what it wrote to disk."""
    decoder = load_decoder(config, adapters_of_run(run, config.checkpoint))
    folder = run.path / "predictions" / config.split
    contexts = encode_contexts(data.contexts(config.split), decoder.tokenizer)
    with held_by_this_command(folder):
        decode(decoder, contexts, data.checksums(config.split), config.split, folder, trainer)
    for logger in run_loggers(trainer.loggers):
        logger.log_predictions(folder, config.split, config.checkpoint)


def contexts_of(config: DictConfig, tokenizer: Tokenizer) -> tuple[list[Context], dict[str, str]]:
    """Return the distinct contexts to decode, and the checksums of the files they come from."""
    if config.inputs is not None:
        fields = config.data.get("fields", {})  # of own data, whose contexts these may be
        names = {part: fields[part] for part in ("context", "id") if part in fields}
        inputs = [(given.id, given.context) for given in read_inputs(config.inputs, **names)]
        return encode_contexts(inputs, tokenizer), {}
    data: DataToTextModule = build(config.data)
    contexts = encode_contexts(data.contexts(config.split), tokenizer)
    return contexts, data.checksums(config.split)


def decode(
    decoder: Decoder,
    contexts: list[Context],
    checksums: dict[str, str],
    split: str | None,
    folder: Path,
    trainer: pl.Trainer,
) -> None:
    """Decode contexts on all ranks into `folder`/predictions.jsonl and manifest.json.

    Each rank writes its own file as it goes; a run of the same settings goes on where it stopped.

    Args:
        decoder: the model and how it decodes.
        contexts: what to decode.
        checksums: of the files that they come from.
        split: whose contexts they are, for the manifest; None: of no split, so they have no
            references.
        folder: where the predictions go.
        trainer: whose ranks decode.

    Raises:
        InputError: a context is too long under `on_long_context=error`, or `folder` holds
            unfinished predictions of other settings.
    """
    queries, cut = make_queries(contexts, decoder)
    settings = decoder.described | {
        "end_token_ids": list(decoder.settings.end_token_ids),
        "queries_sha256": hashlib.sha256(json.dumps(queries).encode()).hexdigest(),
        "split": split,
        "adapter_sha256": sorted(decoder.adapter_checksums.values()),
    }
    if trainer.is_global_zero and cut:
        log.info("cut           %d of %d contexts, from the left", cut, len(contexts))
    key = settings_key(settings)
    done = finished_records(folder, key)
    waiting = [index for index, context in enumerate(contexts) if context.id not in done]
    module = BeamDecoding(decoder, contexts, queries, folder, key)
    loader = rank_loader(module, waiting, trainer)
    trainer.predict(module, loader, return_predictions=False)
    if missing := missing_ranks(f"decoded/{folder}", PATIENCE):
        raise InputError(
            f"{folder}: {named(missing)} did not end within {PATIENCE} after this one; look why, "
            "and start again: what is decoded stays"
        )
    seconds = time.perf_counter() - module.began
    if trainer.is_global_zero:
        remove_results(folder, PREDICTIONS)
        path = merge_shards(folder, [context.id for context in contexts])
        records = [record for record in read_predictions(path) if record["id"] not in done]
        manifest = {
            "settings": settings,
            "counts": {"contexts": len(contexts), "cut": cut},
            "checksums": checksums | decoder.adapter_checksums,
            "throughput": {
                "contexts_per_second": len(records) / seconds,
                "tokens_per_second": sum(len(record["tokens"]) for record in records) / seconds,
            },
        }
        write_json(folder / "manifest.json", manifest)
        remove_shards(folder)
        log.info("decoded       %d contexts in %.1f s", len(contexts), seconds)
        log.info("predictions   %s", path)
    trainer.strategy.barrier("predictions.jsonl is written")


def settings_key(settings: dict[str, Any]) -> str:
    """Return a short name for settings that decide the predictions."""
    speed = ("batch_size", "max_memory", "packed")  # which decide nothing else
    deciding = {
        group: {k: v for k, v in settings[group].items() if k not in speed}
        for group in ("generation", "model")
    }
    plain = settings | deciding
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]
