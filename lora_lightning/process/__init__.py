"""This process: the project's folder and the user's, its rank, when the command began."""

import os
from datetime import datetime
from pathlib import Path

BUNDLED = Path(__file__).parents[1] / "bundled"  # made by the wheel; see pyproject.toml
IS_INSTALLED = BUNDLED.is_dir()
# Holds configs/, data/sample/ and the three commands, in an installed package as in a checkout.
REPOSITORY = BUNDLED if IS_INSTALLED else Path(__file__).parents[2]
LAUNCH_TIME = "LORA_LIGHTNING_LAUNCH_TIME"


def workspace() -> Path:
    """Return the folder of what is the user's: outputs/, data/raw/, user/, .cache/ and .env.

    In a checkout that is the checkout; an installed package has the working folder.
    """
    return Path.cwd() if IS_INSTALLED else REPOSITORY


def cache_folder() -> Path:
    """Return where what can be made again is kept, where no config says otherwise."""
    return workspace() / ".cache"


def process_rank() -> int:
    """Return this process's rank as its launcher says, 0 before any launch."""
    of_slurm = os.environ.get("SLURM_PROCID") if slurm_tasks() > 1 else None
    return int(os.environ.get("RANK") or os.environ.get("LOCAL_RANK") or of_slurm or 0)


def slurm_tasks() -> int:
    """Return how many tasks `srun` started beside and with this one, 1 outside of SLURM.

    A batch script that is no `srun` step has SLURM_NTASKS too; submitit always uses `srun`.
    """
    of_step = os.environ.get("SLURM_STEP_NUM_TASKS")
    if of_step is None and os.environ.get("SUBMITIT_EXECUTOR") == "slurm":
        of_step = os.environ.get("SLURM_NTASKS")
    return int(of_step or 1)


def launch_time() -> str:
    """Return the time when this command began, the same in all its ranks; to the microsecond.

    Two commands started in one second therefore still get two folders.
    """
    return os.environ.get(LAUNCH_TIME) or now()


def now() -> str:
    """Return the current time as a folder's name; sorting such names sorts by time."""
    return datetime.now().strftime("%Y-%m-%d_%H-%M-%S-%f")
