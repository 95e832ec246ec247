"""The parts of a training, each built once; they must fit before anything is trained."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig, OmegaConf
from transformers import GPT2LMHeadModel

from lora_lightning.checkpoints.pruning import PruneRun
from lora_lightning.checkpoints.resumed import ResumedRun
from lora_lightning.checkpoints.save import SaveRun
from lora_lightning.checkpoints.time_limit import require_time
from lora_lightning.config.build import build, build_each
from lora_lightning.config.rules import pruned_by, validated
from lora_lightning.data.batches import Batches
from lora_lightning.data.batching import padded
from lora_lightning.gpt2.forward import Execution, require_packable
from lora_lightning.methods.adapter_files import locate_adapter
from lora_lightning.methods.method import (
    Method,
    begin_method,
    check_state,
    initialise_method,
    make_room,
)
from lora_lightning.runs.trial import current_trial
from lora_lightning.tasks.before import largest_step, peak_of, report, report_unlabelled
from lora_lightning.tasks.callbacks import check_callbacks, require_no_validation
from lora_lightning.tasks.length import check_length, check_share, plan_training
from lora_lightning.tasks.model import load_model, tokenizer_of
from lora_lightning.tasks.setup import build_trainer
from lora_lightning.tasks.text_validation import TextValidation
from lora_lightning.training.loss import CompletionLoss
from lora_lightning.training.module import FineTuning
from lora_lightning.training.optimizers import OptimizerMaker
from lora_lightning.training.schedules import require_schedule
from lora_lightning.training.seat import SEAT

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Training:
    """The parts of a training, each built once.

    Attributes:
        folder: the run folder.
        data: the data set.
        model: with `method` applied.
        method: what is trained.
        module: model, loss, optimizer and schedule.
        trainer: Lightning's.
        saving: writes checkpoints and adapters.
        resumed: the run that is gone on with, if any.
        pruning: ends the run early, where it is a job of a sweep with a pruner.
    """

    folder: Path
    data: Batches
    model: GPT2LMHeadModel
    method: Method
    module: FineTuning
    trainer: pl.Trainer
    saving: SaveRun
    resumed: ResumedRun | None
    pruning: PruneRun | None


def build_training(
    config: DictConfig, folder: Path, loggers: list[Logger], resumed: ResumedRun | None
) -> Training:
    """Build every part of a training, check that they fit, and say what will be trained."""
    pl.seed_everything(config.seed, workers=True, verbose=False)
    tokenizer = tokenizer_of(config.model)
    data = Batches(build(config.data), tokenizer, config.seed)
    limit = config.trainer.limit_val_batches if data.rows.has_validation else 0
    callbacks = build_each("callbacks", config.callbacks, pl.Callback)
    check_callbacks(callbacks, validated(config))
    decodes = config.validation.by == "generation"
    if limit == 0:
        require_no_validation(config.checkpoint, callbacks, decodes)
    loss, optimizer = build(config.loss), build(config.optimizer)
    schedule = require_schedule(build(config.scheduler))
    method = build(config.method)
    adapters = [locate_adapter(config.adapter)] if config.adapter else []
    described: Any = OmegaConf.to_container(config.method, resolve=True)
    every = config.trainer.save_every_n_steps
    saving = SaveRun(folder, method, config.model.path, every, described, config.best_by)
    pruning = pruning_of(config)
    further = [saving] if pruning is None else [pruning, saving]
    trainer = build_trainer(config.trainer, loggers, [*callbacks, *further], folder, limit)
    require_time(trainer)
    check_share(data, limit, trainer.world_size)
    model = load_model(config.model, method, tokenizer, adapters)
    require_packable(model)
    check_state(method, model)
    check_length(data, model.config.n_positions)
    if resumed is not None:
        make_room(method, model, resumed.tensors)
    elif not adapters:
        rows = (
            padded(batch, loss.labelled(batch)) for batch in data.first_epoch(trainer.world_size)
        )
        initialise_method(method, model, rows, trainer.strategy.root_device)
    if isinstance(optimizer, OptimizerMaker):
        optimizer.prepare(model)
    plan = plan_training(config.trainer, data, schedule, trainer.world_size)
    begin_method(method, model, plan.updates)
    if resumed is not None:
        resumed.check(data, model, trainer.world_size)
    execution = Execution(config.trainer.gradient_checkpointing, config.trainer.compile)
    device = trainer.strategy.root_device
    memory = largest_step(model, data, execution, device)
    report(data, model, method, plan, memory)
    if (seat := SEAT.get()) is not None:
        seat.reserve(memory, device)
    if isinstance(loss, CompletionLoss):
        report_unlabelled(data, "train")
    if limit != 0:
        report_unlabelled(data, "valid")
    peak = None
    if config.trainer.measure_peak and not config.dry_run:
        peak = peak_of(model, config.trainer.precision, device)
    texts = None
    if decodes:
        texts = TextValidation(config, data, build(config.protocol), trainer)
    module = FineTuning(model, loss, optimizer, schedule, plan, execution, peak, texts, method)
    return Training(folder, data, model, method, module, trainer, saving, resumed, pruning)


def pruning_of(config: DictConfig) -> PruneRun | None:
    """Return what ends the run early; None where nothing does: no pruner, or no sweep."""
    metric, trial = pruned_by(config), current_trial()
    if metric is None:
        return None
    if trial is None:
        log.info("pruner        is of a sweep's jobs (-m …); this run trains to its end")
        return None
    return PruneRun(trial, build(config.pruner), metric)
