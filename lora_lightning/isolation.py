"""Job isolation: a multirun job of several processes runs as a command of its own.

Lightning starts further ranks with this process's arguments. In a multirun these are the whole
sweep's, so each rank would enter the sweep again, and under a sampling sweeper train other values
than rank 0. A fresh process with this job's own overrides cannot.
"""

import json
import os
import subprocess
import sys

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from lora_lightning.errors import InputError
from lora_lightning.overrides import quote
from lora_lightning.resolvers import LAUNCH_TIME, REPOSITORY
from lora_lightning.run_folder import ISOLATED_JOB, output_folder

RANK_VARIABLES = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE",
                  "MASTER_ADDR", "MASTER_PORT", LAUNCH_TIME)  # fmt: skip


def needs_isolation(config: DictConfig) -> bool:
    """Whether this is a job of a multirun that will start further ranks."""
    return HydraConfig.get().mode == RunMode.MULTIRUN and config.trainer.strategy == "ddp"


def run_isolated(command: str) -> float | None:
    """Run this job as `python <command>.py` with its own overrides in its own folder.

    Returns:
        The value in the job's result.json, if it writes one.

    Raises:
        InputError: the job failed.
    """
    folder = output_folder().resolve()
    overrides = list(HydraConfig.get().overrides.task)
    environment = {key: value for key, value in os.environ.items() if key not in RANK_VARIABLES}
    del environment["HYDRA_FULL_ERROR"]
    arguments = [*overrides, f"hydra.run.dir={quote(str(folder))}"]
    code = subprocess.run(
        [sys.executable, str(REPOSITORY / f"{command}.py"), *arguments],
        env=environment | {ISOLATED_JOB: str(folder)},
    ).returncode
    if code:
        raise InputError(f"the job in {folder} ended with exit code {code}; its error stands above")
    result = folder / "result.json"
    return json.loads(result.read_text())["value"] if result.is_file() else None
