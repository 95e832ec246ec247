"""Our launchers: what they keep of a sweep, and how they compose and run a job of it."""

from abc import ABC
from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn, run_job
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict


class OwnLauncher(Launcher, ABC):
    """A launcher of ours, whose plugin class only says who launches."""

    def __init__(self, **_: Any) -> None:
        """Take the keys of `hydra.launcher`, which `setup` gets with the whole config."""

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Keep what Hydra hands over."""
        self.given = (hydra_context, task_function, config)


def compose_job(
    context: HydraContext, config: DictConfig, overrides: Sequence[str], number: int
) -> DictConfig:
    """Return the config of one job.

    Args:
        context: Hydra's.
        config: of the sweep.
        overrides: of the job.
        number: of the job.
    """
    composed: DictConfig = context.config_loader.load_sweep_config(config, list(overrides))
    with open_dict(composed):
        composed.hydra.job.id = number
        composed.hydra.job.num = number
    return composed


def run_composed(context: HydraContext, task: TaskFunction, config: DictConfig) -> JobReturn:
    """Run the command with a job's config, in the job's folder."""
    return run_job(
        task_function=task,
        config=config,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
        hydra_context=context,
    )
