"""Job isolation: a multirun job of several processes runs as a command of its own.

Lightning starts further ranks with this process's arguments. In a multirun these are the whole
sweep's, so each rank would enter the sweep again, and under a sampling sweeper train other values
than rank 0; in a worker of joblib or submitit they are not this command's at all. A fresh process
with this job's own overrides has neither fault. Where SLURM started one task a rank, nothing is
left to start, and the tasks train together as they are.
"""

import os
import sys
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from lora_lightning.config.overrides import quote
from lora_lightning.config.trainer import processes
from lora_lightning.errors import InputError
from lora_lightning.process import LAUNCH_TIME, REPOSITORY, slurm_tasks
from lora_lightning.process.children import run_child
from lora_lightning.runs.folder import ISOLATED_JOB, output_folder
from lora_lightning.runs.stored_results import Objective, read_result
from lora_lightning.runs.trial import PrunedError, current_trial

RANK_VARIABLES = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE",
                  "MASTER_ADDR", "MASTER_PORT", "HYDRA_FULL_ERROR", LAUNCH_TIME)  # fmt: skip


def needs_isolation(config: DictConfig) -> bool:
    """Whether this is a job of a multirun that will start further ranks.

    Raises:
        InputError: SLURM started several tasks, and not one for each rank.
    """
    if HydraConfig.get().mode != RunMode.MULTIRUN or config.trainer.strategy != "ddp":
        return False
    tasks, trainer = slurm_tasks(), config.trainer
    own = processes(trainer.devices)
    if tasks > 1 and own is not None and tasks != trainer.num_nodes * own:
        raise InputError(
            f"SLURM started {tasks} tasks for trainer.num_nodes={trainer.num_nodes} times "
            f"trainer.devices={trainer.devices}; set hydra.launcher.nodes to the former and "
            "hydra.launcher.tasks_per_node to the latter"
        )
    return tasks == 1


def own_overrides() -> list[str]:
    """Return this job's overrides as they were given: what they ask to work out is not in them."""
    overrides: Any = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
    return list(overrides)


def environment_without_ranks() -> dict[str, str]:
    """Return this process's environment without what tells ranks from each other."""
    return {
        key: value
        for key, value in os.environ.items()
        if key not in RANK_VARIABLES and not key.startswith("SLURM_")
    }


def run_isolated(
    command: str, overrides: list[str] | None = None, results: Path | None = None
) -> Objective:
    """Run a job as `python <command>.py` with its own overrides in this job's folder.

    Args:
        command: `train`, `generate` or `evaluate`.
        overrides: the job's overrides; this job's own where None.
        results: folder of the results, where that is not this job's.

    Returns:
        The value in the job's result.json, if it writes one.

    Raises:
        InputError: the job failed.
        PrunedError: it ended early, by its sweep's pruner.
        SystemExit: the job ended with exit code 3, an evaluation with a hole.
    """
    folder = output_folder().resolve()
    own = own_overrides() if overrides is None else overrides
    environment = environment_without_ranks()
    # A search space would make the process a multirun again.
    arguments = [*own, f"hydra.run.dir={quote(str(results or folder))}", "hydra.mode=RUN"]
    script = str(REPOSITORY / f"{command}.py")
    environment[ISOLATED_JOB] = str(folder)
    environment |= trial.environment() if (trial := current_trial()) else {}
    code = run_child([script, *arguments], environment)
    if code == 3:
        sys.exit(code)
    if code:
        raise InputError(f"the job in {folder} ended with exit code {code}; its error stands above")
    result = folder / "result.json"
    if not result.is_file():
        return None
    read = read_result(result)
    if read.pruned_after is not None:
        raise PrunedError(f"pruned after update {read.pruned_after}")
    return read.value
