"""Train: from raw data to a run folder."""

import logging
import sys
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from hydra.core.hydra_config import HydraConfig
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, OmegaConf

from lora_lightning.checkpoints.resumed import open_resumed
from lora_lightning.config.build import checksum
from lora_lightning.config.commands import TRAINABLE
from lora_lightning.config.overrides import flat_values, with_absolute_paths
from lora_lightning.config.renamed import with_current_names
from lora_lightning.errors import InputError, first_line
from lora_lightning.files import atomic_text, write_json
from lora_lightning.gpt2.projection import pack_for_training
from lora_lightning.methods.method import trainable_parameters
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
from lora_lightning.runs.trial import PrunedError
from lora_lightning.tasks.after import report_end, say_next, say_result
from lora_lightning.tasks.loggers import open_loggers
from lora_lightning.tasks.result import (
    failure_recorded,
    objective_of,
    require_finite_objective,
    write_result,
)
from lora_lightning.tasks.scoring import FINISHED_WITH_A_HOLE
from lora_lightning.tasks.setup import start
from lora_lightning.tasks.then import do_what_follows
from lora_lightning.tasks.training import Training, build_training
from lora_lightning.tracking.loss_figure import draw_losses
from lora_lightning.tracking.run_logger import run_loggers
from lora_lightning.training.allocator import keep_freed_memory
from lora_lightning.training.seat import SEAT
from lora_lightning.training.validation import objectives

log = logging.getLogger(__name__)


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


def end_training(folder: Path, record: dict[str, Any], has_trained: bool) -> None:
    """Write run.json and loss.png, unless they are there and nothing was trained since."""
    if has_trained or not (folder / "run.json").is_file():
        write_json(folder / "run.json", record, lasting=True)
        draw_losses(folder)


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
