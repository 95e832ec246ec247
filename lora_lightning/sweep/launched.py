"""A job of a sweep as our launchers compose and run it."""

from collections.abc import Sequence

from hydra.core.utils import JobReturn, run_job
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict


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
