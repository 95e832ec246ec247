"""The search behind `hydra/sweeper=search`: ask a study, launch jobs, tell it what they gave."""

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig

from lora_lightning.errors import InputError
from lora_lightning.sweep.found import write_results
from lora_lightning.sweep.plan import grid, sweep_overrides
from lora_lightning.sweep.record import Job
from lora_lightning.sweep.space import Space
from lora_lightning.sweep.study import open_study, readable, storage_of
from lora_lightning.sweep.told import OVERRIDES, tell

if TYPE_CHECKING:
    import optuna

log = logging.getLogger(__name__)
Launch = Callable[..., Sequence[JobReturn]]


def search(config: DictConfig, launch: Launch) -> None:
    """Draw trials and run them as jobs, as many at a time as `hydra.sweeper.n_jobs` says.

    Args:
        config: of the sweep, `hydra` included; it was checked when the sweep began.
        launch: runs jobs, given their overrides and the number of the first.

    Raises:
        InputError: the storage cannot be written, every combination was tried before, or no trial
            came to a value.
        Exception: of a job, where more of them failed than `max_failure_rate` allows.
    """
    overrides, storage = sweep_overrides(config), storage_of(config)
    space = Space.of(config, overrides)
    with readable(storage):
        study = open_study(config, space)
        left = space.left(study)
        if space.sampler is None:
            for point, own in zip(space.points(), grid(overrides), strict=True):
                study.enqueue_trial(point, {OVERRIDES: own})
    log.info("study         %s in %s", study.study_name, storage)
    for first in range(0, left, space.at_once):
        count = min(space.at_once, left - first)
        with readable(storage):
            seeds = [config.seed if first + number == 0 else None for number in range(count)]
            trials = [draw(study, space, seed) for seed in seeds]
            wave = [
                (*trial.user_attrs[OVERRIDES],
                 f"hydra.sweeper.trial={'null' if config.dry_run else trial.number}")
                for trial in trials
            ]  # fmt: skip
        returns = launch(wave, initial_job_idx=first)
        ended = [job_of(returned) for returned in returns]
        with readable(storage):
            for trial, job in zip(trials, ended, strict=True):
                tell(study, trial.number, job)
        failed = sum(job is None or job.is_unfinished for job in ended)
        if failed > config.hydra.sweeper.max_failure_rate * count and not config.dry_run:
            for returned in returns:
                returned.return_value  # noqa: B018  raises what the job raised
            raise InputError(f"{failed} of {count} jobs failed, see their error.txt")
    if not config.dry_run:
        with readable(storage):
            write_results(study, config)


def draw(study: "optuna.Study", space: Space, seed: int | None) -> "optuna.Trial":
    """Draw a trial, which keeps the overrides of its job: what it drew, then what all have.

    Args:
        study: which keeps it.
        space: to draw from.
        seed: of the search, with its first trial; the sampler is then made with this and the
            trial's number, which no other search has, so that of several that draw from one study,
            now or one after the other, none proposes another's values again.
    """
    trial = study.ask()
    if seed is not None:
        study.sampler = space.make_sampler(seed + trial.number)
        study.sampler.before_trial(study, study.get_trials()[trial.number])
    for key, distribution in space.distributions.items():
        trial._suggest(key, distribution)  # as `ask`, which comes too early for the sampler
    if OVERRIDES not in trial.user_attrs:
        own = [f"{key}={value}" for key, value in trial.params.items()]
        trial.set_user_attr(OVERRIDES, [*own, *space.fixed])
    return trial


def job_of(returned: JobReturn) -> Job | None:
    """Return a job's record; None where it did not come to one."""
    value = returned.return_value if returned.status == JobStatus.COMPLETED else None
    return value if isinstance(value, Job) else None
