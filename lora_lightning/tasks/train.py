"""Train: from raw data to a run folder."""

import json
import logging
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig, OmegaConf
from torch import nn

from lora_lightning.checkpoints.resumed import ResumedRun, open_resumed
from lora_lightning.checkpoints.save import SaveRun
from lora_lightning.config.build import build, config_checksum
from lora_lightning.data.datamodule import DataToTextModule
from lora_lightning.errors import InputError
from lora_lightning.files import atomic_text, write_json
from lora_lightning.gpt2.forward import Execution
from lora_lightning.gpt2.projection import pack_for_training
from lora_lightning.process import process_rank
from lora_lightning.runs.claim import claimed
from lora_lightning.runs.folder import TRAINING, RunFolder, output_folder, remove_results
from lora_lightning.runs.isolation import needs_isolation, run_isolated
from lora_lightning.runs.record import environment
from lora_lightning.tasks.before import largest_step, peak_of, report
from lora_lightning.tasks.model import load_model, tokenizer_of
from lora_lightning.tasks.setup import build_trainer, start
from lora_lightning.tracking.loggers import open_loggers
from lora_lightning.tracking.loss_figure import draw_losses
from lora_lightning.tracking.wandb_job import open_wandb
from lora_lightning.training.allocator import keep_freed_memory
from lora_lightning.training.module import FineTuning
from lora_lightning.training.plan import TrainingPlan, plan_micro_steps

if TYPE_CHECKING:
    from lora_lightning.tracking.wandb_run import WandbRun

log = logging.getLogger(__name__)


def train(config: DictConfig) -> float | None:
    """Train as `config` says, and go on with what `then` names.

    Returns:
        The value of `optimized_metric`, for a sweeper; None where the run has no such metric.

    Raises:
        InputError: a key, a file or their combination is wrong.
    """
    if needs_isolation(config):
        return run_isolated("train")
    start(config)
    resumed = open_resumed(config)
    folder = output_folder()
    with (
        claimed_by_rank_zero(config, folder),
        open_wandb(config, folder, "train") as wandb_run,
    ):
        resumed_at = None if resumed is None else resumed.saved["update"]
        loggers = open_loggers(config.logger, folder, resumed_at)
        scores, trainer = fit(config, folder, loggers, resumed, wandb_run)
        if config.dry_run:
            return None
        trainer.strategy.barrier("the run folder is complete")
        if wandb_run is not None:
            wandb_run.log_adapters(folder)
        has_trained = resumed is None or trainer.global_step > 0
        scores |= go_on(config, RunFolder.open(folder), trainer, not has_trained, wandb_run)
        return end_run(config, folder, scores, trainer.is_global_zero)


def claimed_by_rank_zero(config: DictConfig, folder: Path) -> AbstractContextManager[None]:
    """Keep other commands from training in the folder meanwhile."""
    if process_rank() > 0 or config.dry_run:
        return nullcontext()
    folder.mkdir(parents=True, exist_ok=True)
    return claimed(folder)


def fit(
    config: DictConfig,
    folder: Path,
    loggers: list[Logger],
    resumed: ResumedRun | None,
    wandb_run: "WandbRun | None",
) -> tuple[dict[str, float], pl.Trainer]:
    """Train into the run folder, and return the last validation's metrics and the Trainer."""
    pl.seed_everything(config.seed, workers=True, verbose=False)
    tokenizer = tokenizer_of(config)
    data = build(config.data, tokenizer=tokenizer, seed=config.seed)
    adapters = [Path(config.adapter)] if config.adapter else []
    model, method = load_model(config, tokenizer, adapters)
    schedule = build(config.scheduler)
    saving = SaveRun(folder, method, config.model.path, config.trainer.save_every_n_steps)
    callbacks = [*build(config.callbacks).values(), saving]
    validation = config.trainer.limit_val_batches if data.has_validation else 0
    loggers = loggers if wandb_run is None else [*loggers, wandb_run]
    trainer = build_trainer(config.trainer, loggers, callbacks, folder, validation)
    plan = plan_training(config.trainer, data, schedule, trainer.world_size)
    check_length(data, model.config.n_positions)
    if resumed is not None:
        resumed.check(data, model, trainer.world_size)
    execution = Execution(config.trainer.gradient_checkpointing, config.trainer.compile)
    device = trainer.strategy.root_device
    report(data, model, method, plan, largest_step(model, data, execution, device))
    if config.dry_run:
        return {}, trainer

    pack_for_training(model, config.model.get("packed", "auto"), device)
    model.train()  # transformers loads models in evaluation mode, without dropout
    loss, optimizer = build(config.loss), build(config.optimizer)
    peak = peak_of(config, model, device)
    module = FineTuning(model, loss, optimizer, schedule, plan, execution, peak)
    record = begin_run(config, folder, trainer, method, model, resumed, wandb_run)
    run_training(config, trainer, module, data, resumed)
    record |= saving.record() | {"throughput": module.median_throughput()}
    record |= {"data": data.checksums(), "ranks": gather_ranks(config, trainer)}
    if trainer.is_global_zero:
        end_training(folder, record, has_trained=module.micro_step > 0)
    return {key: v for key, v in module.latest.items() if key.startswith("val/")}, trainer


def run_training(
    config: DictConfig,
    trainer: pl.Trainer,
    module: FineTuning,
    data: DataToTextModule,
    resumed: ResumedRun | None,
) -> None:
    """Train from the start, or from where a resumed run stands if anything is left."""
    if trainer.strategy.root_device.type == "cpu":
        keep_freed_memory()
    if resumed is None:
        if config.trainer.validate_first:
            trainer.validate(module, datamodule=data, verbose=False)
        trainer.fit(module, datamodule=data)
    elif resumed.has_ended(module.plan):
        module.latest = resumed.saved["latest"]
        log.info("training      ended after update %d; nothing is left", resumed.saved["update"])
    else:
        trainer.fit(module, datamodule=data, ckpt_path=str(resumed.run.last_checkpoint))


def end_training(folder: Path, record: dict[str, Any], has_trained: bool) -> None:
    """Write run.json and loss.png, unless they are there and nothing was trained since."""
    if has_trained or not (folder / "run.json").is_file():
        write_json(folder / "run.json", record)
        draw_losses(folder / "metrics.csv", folder / "loss.png")


def plan_training(
    trainer: DictConfig, data: DataToTextModule, schedule: Any, world_size: int
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
        val_check_interval=trainer.val_check_interval,
        log_every_n_steps=trainer.log_every_n_steps,
    )


def check_length(data: DataToTextModule, positions: int) -> None:
    """Check that every training row fits the model.

    Raises:
        InputError: naming `data.max_length`.
    """
    longest = max(data.lengths("train"))
    if longest > positions:
        raise InputError(
            f"data.max_length={data.max_length}: the longest training row has {longest} tokens, "
            f"the model {positions} positions; lower data.max_length to {positions}"
        )


def begin_run(
    config: DictConfig,
    folder: Path,
    trainer: pl.Trainer,
    method: Any,
    model: nn.Module,
    resumed: ResumedRun | None,
    wandb_run: "WandbRun | None",
) -> dict[str, Any]:
    """Write config.yaml, once nothing can be wrong any more, and return the start of run.json."""
    if trainer.is_global_zero:
        if resumed is None:
            remove_results(folder, TRAINING)
        else:
            resumed.prepare_folder(config)
        with atomic_text(folder / "config.yaml") as file:
            file.write(OmegaConf.to_yaml(config, resolve=True))
    plain: Any = OmegaConf.to_container(config, resolve=True)
    for logger in trainer.loggers:
        logger.log_hyperparams(plain)
    rows = method.parameter_table(model)
    total = sum(parameter.numel() for parameter in model.parameters())
    if wandb_run is not None:
        wandb_run.begin_training(folder, rows, total)
    return {
        "seed": config.seed,
        **environment(),
        "parameters": {"trainable": sum(row.count for row in rows), "total": total},
        "world_size": trainer.world_size,
    }


def gather_ranks(config: DictConfig, trainer: pl.Trainer) -> list[dict[str, Any]]:
    """Return each rank's checksum of its own config, through a collective.

    Raises:
        InputError: two ranks trained with different configs.
    """
    own = {"rank": trainer.global_rank, "config_sha256": config_checksum(config)}
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return [own]
    ranks: list[Any] = [None] * trainer.world_size
    torch.distributed.all_gather_object(ranks, own)
    if len({rank["config_sha256"] for rank in ranks}) > 1:
        raise InputError(f"the ranks trained with different configs: {ranks}")
    return ranks


def go_on(
    config: DictConfig,
    run: RunFolder,
    trainer: pl.Trainer,
    may_be_done: bool,
    wandb_run: "WandbRun | None",
) -> dict[str, float]:
    """Do what `then` names, in this process and its ranks, and return the scores.

    Args:
        config: of the run.
        run: its folder.
        trainer: whose ranks decode.
        may_be_done: whether results in the folder are of the model as it is, and need no repeat.
        wandb_run: gets predictions and scores.
    """
    from lora_lightning.tasks.evaluate import evaluate_run
    from lora_lightning.tasks.generate import decode_run

    decoded = run.path / "predictions" / config.split / "manifest.json"
    scored = run.path / "evaluation" / config.split / "metrics.json"
    if "generate" in config.then and not (may_be_done and decoded.is_file()):
        decode_run(config, run, trainer, wandb_run)
    if "evaluate" not in config.then or not trainer.is_global_zero:
        return {}
    if not (may_be_done and scored.is_file()):
        evaluate_run(config, run, wandb_run)
    return run.scores(config.split)


def end_run(
    config: DictConfig, folder: Path, scores: dict[str, float], is_rank_zero: bool
) -> float | None:
    """Write result.json, say what comes next, and return the metric that a sweeper optimizes."""
    value = scores.get(config.optimized_metric)
    if not is_rank_zero:
        return value
    with atomic_text(folder / "result.json") as file:
        json.dump({"metric": config.optimized_metric, "value": value}, file)
    log.info("run folder    %s", folder)
    if "generate" not in config.then:
        log.info("next          python generate.py run=%s", folder)
    elif "evaluate" not in config.then:
        log.info("next          python evaluate.py run=%s", folder)
    return value
