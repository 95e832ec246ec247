"""Train: from raw data to a run folder."""

import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from hydra.core.hydra_config import HydraConfig
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, OmegaConf
from transformers import GPT2LMHeadModel

from lora_lightning.checkpoints.pruning import PruneRun
from lora_lightning.checkpoints.resumed import ResumedRun, open_resumed
from lora_lightning.checkpoints.save import SaveRun
from lora_lightning.checkpoints.time_limit import require_time
from lora_lightning.config.build import build, build_each, checksum
from lora_lightning.config.commands import TRAINABLE
from lora_lightning.config.overrides import flat_values, with_absolute_paths
from lora_lightning.config.renamed import with_current_names
from lora_lightning.config.rules import pruned_by, validated
from lora_lightning.config.typed import as_typed, command_line
from lora_lightning.data.batches import Batches
from lora_lightning.data.batching import padded
from lora_lightning.data.datamodule import DataToTextModule
from lora_lightning.errors import InputError, first_line
from lora_lightning.files import atomic_text, write_json
from lora_lightning.gpt2.forward import Execution, require_packable
from lora_lightning.gpt2.projection import pack_for_training
from lora_lightning.methods.adapter_files import locate_adapter
from lora_lightning.methods.method import (
    Method,
    begin_method,
    check_state,
    initialise_method,
    make_room,
    trainable_parameters,
)
from lora_lightning.runs.folder import (
    TRAINING,
    RunFolder,
    is_job_of_sweep,
    output_folder,
    remove_results,
)
from lora_lightning.runs.holder import held_by_this_command
from lora_lightning.runs.isolation import needs_isolation, run_isolated
from lora_lightning.runs.record import environment
from lora_lightning.runs.stored_results import Objective
from lora_lightning.runs.trial import PrunedError, current_trial
from lora_lightning.tasks.before import largest_step, peak_of, report, report_unlabelled
from lora_lightning.tasks.callbacks import check_callbacks, require_no_validation
from lora_lightning.tasks.loggers import open_loggers
from lora_lightning.tasks.model import load_model, tokenizer_of
from lora_lightning.tasks.result import (
    failure_recorded,
    objective_of,
    require_finite_objective,
    write_result,
)
from lora_lightning.tasks.result_table import overfit_verdict, profile_lines, result_table
from lora_lightning.tasks.scoring import FINISHED_WITH_A_HOLE
from lora_lightning.tasks.setup import build_trainer, start
from lora_lightning.tasks.text_validation import TextValidation
from lora_lightning.tasks.then import do_what_follows
from lora_lightning.tracking.csv_tables import read_losses
from lora_lightning.tracking.loss_figure import draw_losses
from lora_lightning.tracking.run_logger import run_loggers
from lora_lightning.training.allocator import keep_freed_memory
from lora_lightning.training.loss import CompletionLoss
from lora_lightning.training.module import FineTuning
from lora_lightning.training.optimizers import OptimizerMaker
from lora_lightning.training.plan import TrainingPlan, micro_batches_between, plan_micro_steps
from lora_lightning.training.schedules import require_schedule
from lora_lightning.training.seat import SEAT
from lora_lightning.training.validation import objectives

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


def train(config: DictConfig) -> Objective:
    """Train as `config` says, and go on with what `then` names; exit with 3 where a score lacks.

    Returns:
        The value of `optimized_metric`, for a sweeper, a list where that names several; None where
        the run has no such metric.

    Raises:
        InputError: a key, a file or their combination is wrong.
        PrunedError: the run was ended by its sweep's pruner; what it has is saved.
    """
    if SEAT.get() is None and needs_isolation(config):
        return run_isolated("train")
    config = with_absolute_paths(config, Path.cwd())
    start(config)
    resumed = None
    if config.resume is not None:
        values = flat_values(with_current_names(config), Path.cwd())
        overrides = HydraConfig.get().overrides.task
        resumed = open_resumed(config.resume, values, overrides, config.resume_force)
    resumed_at = None if resumed is None else resumed.saved["update"]
    folder = output_folder()
    with (
        held_by_this_command(folder, writes=not config.dry_run),
        open_loggers(config, folder, "train", resumed_at) as loggers,
    ):
        training = build_training(config, folder, loggers, resumed)
        if config.dry_run:
            log.info("run folder    %s, which a dry run does not write", config.output_dir)
            return None
        with failure_recorded(folder, config.optimized_metric, training.trainer.is_global_zero):
            run_training(training, config)
        scores = objectives(training.module.latest)
        scores[TRAINABLE] = trainable_parameters(training.model)
        trainer = training.trainer
        trainer.strategy.barrier("the run folder is complete")
        for logger in run_loggers(loggers):
            logger.log_adapters(folder)
        may_be_done = resumed is not None and trainer.global_step == 0
        run = RunFolder.open(folder)
        pruned_after = None if training.pruning is None else training.pruning.update
        if pruned_after is None:
            scores |= do_what_follows(config, run, training.data.rows, trainer, may_be_done)
        value = objective_of(scores, config.optimized_metric) if pruned_after is None else None
        with failure_recorded(folder, config.optimized_metric, trainer.is_global_zero):
            require_finite_objective(config.optimized_metric, value)
        if trainer.is_global_zero:
            write_result(folder, config.optimized_metric, value, pruned_after=pruned_after)
            say_result(run, config)
            say_next(config, folder, data=training.data.rows)
    if pruned_after is not None:
        raise PrunedError(f"pruned after update {pruned_after} of {training.module.plan.updates}")
    may_exit = trainer.is_global_zero and not is_job_of_sweep()  # which has a value to give
    if may_exit and "evaluate" in config.then and run.lacks_scores(config.split):
        sys.exit(FINISHED_WITH_A_HOLE)
    return value


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


def run_training(training: Training, config: DictConfig) -> None:
    """Train, and complete the run folder: config.yaml at the start, run.json at the end."""
    record = begin_run(training, config)
    device = training.trainer.strategy.root_device
    pack_for_training(training.model, config.model.get("packed", "auto"), device)
    if (seat := SEAT.get()) is not None:
        seat.take(training.model, device)
        training.module.seat = seat
    training.model.train()  # transformers loads models in evaluation mode, without dropout
    fit(training, config.trainer.validate_first)
    report_end(training)
    record |= training.saving.record() | {"throughput": training.module.median_throughput()}
    ranks = gather_ranks(checksum(config), training.trainer)
    record |= {"data": training.data.rows.checksums(), "ranks": ranks}
    record |= {"updates": training.module.update}
    if training.trainer.is_global_zero:
        end_training(training.folder, record, has_trained=training.module.micro_step > 0)


def begin_run(training: Training, config: DictConfig) -> dict[str, Any]:
    """Write config.yaml, once nothing can be wrong any more, and return the start of run.json."""
    folder, trainer, resumed = training.folder, training.trainer, training.resumed
    resolved = config.copy()
    OmegaConf.resolve(resolved)
    used = with_absolute_paths(resolved, Path.cwd())  # what `${…}` gave may be relative, too
    if trainer.is_global_zero:
        if resumed is None:
            remove_results(folder, TRAINING)
        else:
            resumed.prepare_folder(OmegaConf.to_yaml(config))
    plain: Any = OmegaConf.to_container(used)
    rows = training.method.parameter_table(training.model)
    total = sum(parameter.numel() for parameter in training.model.parameters())
    trainable = trainable_parameters(training.model)
    for logger in trainer.loggers:
        logger.log_hyperparams(plain)
    for logger in run_loggers(trainer.loggers):
        logger.begin_training(folder, rows, total)
    if trainer.is_global_zero:  # only once the loggers have begun, as they may be refused
        with atomic_text(folder / "config.yaml") as file:
            file.write(OmegaConf.to_yaml(used))
    return {
        "seed": config.seed,
        **environment(),
        "parameters": {"trainable": trainable, "total": total},
        "world_size": trainer.world_size,
    }


def fit(training: Training, validate_first: bool) -> None:
    """Train from the start, or from where a resumed run stands if anything is left.

    Raises:
        InputError: Lightning finds that a callback or a plugin does not go with the rest.
    """
    trainer, module, data = training.trainer, training.module, training.data
    if trainer.strategy.root_device.type == "cpu":
        keep_freed_memory()
    resumed = training.resumed
    if resumed is not None and resumed.has_ended(module.plan, trainer):
        module.latest = resumed.saved["latest"]
        log.info("training      ended after update %d; nothing is left", resumed.saved["update"])
        return
    try:
        if resumed is None and validate_first:
            trainer.validate(module, datamodule=data, verbose=False)
        checkpoint = None if resumed is None else str(resumed.checkpoint)
        trainer.fit(module, datamodule=data, ckpt_path=checkpoint)
    except MisconfigurationException as error:
        raise InputError(
            f"callbacks, logger or trainer: Lightning refuses this ({first_line(error)})"
        ) from None


def report_end(training: Training) -> None:
    """Say that a run ended before its last update, and how it gets more time where it had none."""
    module, plan = training.module, training.module.plan
    if module.micro_step >= plan.micro_steps or module.micro_step == 0:
        return
    log.info("ended         after update %d of %d", module.update, plan.updates)
    if training.saving.is_out_of_time:
        again = command_line("train.py", as_typed("resume", str(training.folder)))
        log.info("time          was up; with more it goes on: %s trainer.max_time=…", again)


def end_training(folder: Path, record: dict[str, Any], has_trained: bool) -> None:
    """Write run.json and loss.png, unless they are there and nothing was trained since."""
    if has_trained or not (folder / "run.json").is_file():
        write_json(folder / "run.json", record, lasting=True)
        draw_losses(folder)


def say_result(run: RunFolder, config: DictConfig) -> None:
    """Say what the training came to, and what a debugging run was made to find out."""
    log.info("%s", result_table(run, config))
    if HydraConfig.get().runtime.choices.get("debug") == "overfit":
        log.info("overfit       %s", overfit_verdict(read_losses(run.path)))
    for line in profile_lines(run.path / "profile"):
        log.info("profile       %s", line)


def plan_training(
    trainer: DictConfig, data: Batches, schedule: Any, world_size: int
) -> TrainingPlan:
    """Return the run's length and what happens when.

    Raises:
        InputError: the run would never update.
    """
    last = schedule.run_steps
    if last is not None and schedule.per == "optimizer_step":
        last *= trainer.accumulate_grad_batches
    return TrainingPlan(
        micro_steps=plan_micro_steps(
            data.micro_batches(trainer.max_epochs, world_size),
            trainer.max_steps,
            trainer.accumulate_grad_batches,
            last,
        ),
        accumulate_grad_batches=trainer.accumulate_grad_batches,
        gradient_clip_val=trainer.gradient_clip_val or 0.0,
        val_check_interval=micro_batches_between(
            trainer.val_check_interval, data.batches_per_epoch // world_size
        ),
        log_every_n_steps=trainer.log_every_n_steps,
    )


def check_length(data: Batches, positions: int) -> None:
    """Check that every training row fits the model.

    Raises:
        InputError: naming `data.max_length`.
    """
    longest = max(data.lengths("train"))
    if longest > positions:
        raise InputError(
            f"data.max_length={data.rows.max_length}: the longest training row has {longest} "
            f"tokens, the model {positions} positions; lower data.max_length to {positions}"
        )


def check_share(data: Batches, limit: float | None, world_size: int) -> None:
    """Check that a share of the validation batches is at least one of them.

    Raises:
        InputError: naming `trainer.limit_val_batches`.
    """
    if isinstance(limit, float) and limit > 0:
        batches = data.validation_batches(world_size)
        if int(batches * limit) == 0:
            raise InputError(
                f"trainer.limit_val_batches={limit}: is less than one of {batches} batches of "
                "validation; give a number of batches, a larger share, or 0 for no validation"
            )


def gather_ranks(config_sha256: str, trainer: pl.Trainer) -> list[dict[str, Any]]:
    """Return each rank's checksum of its own config, through a collective.

    Raises:
        InputError: two ranks trained with different configs.
    """
    own = {"rank": trainer.global_rank, "config_sha256": config_sha256}
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return [own]
    ranks: list[Any] = [None] * trainer.world_size
    torch.distributed.all_gather_object(ranks, own)
    if len({rank["config_sha256"] for rank in ranks}) > 1:
        raise InputError(f"the ranks trained with different configs: {ranks}")
    return ranks


def switch_of(config: DictConfig, folder: Path) -> str:
    """Return what a command line that goes on with the run in `folder` needs besides."""
    return RunFolder(folder).switch(Path(config.paths.user_dir))


def say_next(config: DictConfig, folder: Path, data: DataToTextModule) -> None:
    """Say what comes next: of decoding and scoring what is left, or a text where there is no data.

    Args:
        config: of the run.
        folder: the run's.
        data: the data set.
    """
    log.info("run folder    %s", folder)
    following = [step for step in ("generate", "evaluate") if step not in config.then]
    if not following:
        return
    split = next((split for split in (config.split, "valid") if data.has(split)), None)
    given = [as_typed("run", str(folder))]
    given += [f"split={split}"] if split not in ("test", None) else []
    line = command_line(f"{following[0]}.py", *given)
    text = ' text="…"' if split is None else ""
    log.info("next          %s%s%s", line, text, switch_of(config, folder))
