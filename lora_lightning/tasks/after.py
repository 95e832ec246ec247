"""What is said when a training has ended: its result, and what comes next."""

import logging
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from lora_lightning.config.typed import as_typed, command_line
from lora_lightning.data.datamodule import DataToTextModule
from lora_lightning.runs.folder import RunFolder
from lora_lightning.tasks.result_table import overfit_verdict, profile_lines, result_table
from lora_lightning.tasks.training import Training
from lora_lightning.tracking.csv_tables import read_losses

log = logging.getLogger(__name__)


def report_end(training: Training) -> None:
    """Say that a run ended before its last update, and how it gets more time where it had none."""
    module, plan = training.module, training.module.plan
    if module.micro_step >= plan.micro_steps or module.micro_step == 0:
        return
    log.info("ended         after update %d of %d", module.update, plan.updates)
    if training.saving.is_out_of_time:
        again = command_line("train.py", as_typed("resume", str(training.folder)))
        log.info("time          was up; with more it goes on: %s trainer.max_time=…", again)


def say_result(run: RunFolder, config: DictConfig) -> None:
    """Say what the training came to, and what a debugging run was made to find out."""
    log.info("%s", result_table(run, config))
    if HydraConfig.get().runtime.choices.get("debug") == "overfit":
        log.info("overfit       %s", overfit_verdict(read_losses(run.path)))
    for line in profile_lines(run.path / "profile"):
        log.info("profile       %s", line)


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
    switch = RunFolder(folder).switch(Path(config.paths.user_dir))
    log.info("next          %s%s%s", line, text, switch)
