"""The search behind `hydra/sweeper=search`: ask a study, launch jobs, tell it what they gave."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig, OmegaConf

from lora_lightning.errors import InputError
from lora_lightning.files import atomic_text
from lora_lightning.sweep.plan import grid, sweep_overrides
from lora_lightning.sweep.record import Job
from lora_lightning.sweep.space import Space, objectives_of
from lora_lightning.sweep.study import open_study, readable, storage_of
from lora_lightning.sweep.told import OVERRIDES, tell

if TYPE_CHECKING:
    import optuna

log = logging.getLogger(__name__)
RESULTS = "optimization_results.yaml"
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
    overrides = sweep_overrides(config)
    space = Space.of(config, overrides)
    with readable(config):
        study = open_study(config, space)
        left = space.left(study)
        for point in space.points() if space.sampler is None else ():
            study.enqueue_trial(point)
    listed = grid(overrides) if space.sampler is None else []
    log.info("study         %s in %s", study.study_name, storage_of(config))
    started = 0
    while started < left:
        with readable(config):
            count = min(space.at_once, left - started)
            seeds = [None if started + n else config.seed for n in range(count)]
            trials = [draw(study, space, seed) for seed in seeds]
            chosen = [listed[t.number] if listed else drawn(t, space) for t in trials]
            for trial, own in zip(trials, chosen, strict=True):
                trial.set_user_attr(OVERRIDES, own)
        numbers = [f"hydra.sweeper.trial={trial.number}" for trial in trials]
        if config.dry_run:
            numbers = ["hydra.sweeper.trial=null"] * count
        wave = [(*own, number) for own, number in zip(chosen, numbers, strict=True)]
        returns = launch(wave, initial_job_idx=started)
        started += count
        ended = [job_of(returned) for returned in returns]
        with readable(config):
            for trial, job in zip(trials, ended, strict=True):
                tell(study, trial.number, job)
        failed = sum(job is None or job.is_unfinished for job in ended)
        if failed > config.hydra.sweeper.max_failure_rate * count and not config.dry_run:
            for returned in returns:
                returned.return_value  # noqa: B018  raises what the job raised
            raise InputError(f"{failed} of {count} jobs failed, see their error.txt")
    if not config.dry_run:
        with readable(config):
            write_results(study, config)


def draw(study: "optuna.Study", space: Space, seed: int | None) -> "optuna.Trial":
    """Draw a trial.

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
        suggest(trial, key, distribution)
    return trial


def suggest(trial: "optuna.Trial", key: str, distribution: Any) -> None:
    """Let a trial draw a key's value."""
    from optuna.distributions import CategoricalDistribution, IntDistribution

    if isinstance(distribution, CategoricalDistribution):
        trial.suggest_categorical(key, distribution.choices)
        return
    ask = trial.suggest_int if isinstance(distribution, IntDistribution) else trial.suggest_float
    ask(key, distribution.low, distribution.high, step=distribution.step, log=distribution.log)


def drawn(trial: "optuna.Trial", space: Space) -> list[str]:
    """Return the overrides of a trial's job: what it drew, then what all have."""
    return [*(f"{key}={value}" for key, value in trial.params.items()), *space.fixed]


def job_of(returned: JobReturn) -> Job | None:
    """Return a job's record; None where it did not come to one."""
    value = returned.return_value if returned.status == JobStatus.COMPLETED else None
    return value if isinstance(value, Job) else None


def write_results(study: "optuna.Study", config: DictConfig) -> None:
    """Say what is best, and write it to optimization_results.yaml.

    Raises:
        InputError: no trial has a value.
    """
    from optuna.trial import TrialState

    metrics = objectives_of(config)
    if not study.get_trials(deepcopy=False, states=[TrialState.COMPLETE]):
        raise InputError(
            f"no trial finished with a value of {', '.join(metrics)}; each job's folder in the "
            "sweep's says why"
        )
    best = study.best_trials
    if len(metrics) == 1:
        found: dict[str, Any] = {"best_params": best[0].params, "best_value": best[0].value}
    else:
        found = {"solutions": [{"params": t.params, "values": t.values} for t in best]}
    for trial in best if len(metrics) > 1 else best[:1]:
        values = ", ".join(f"{m} {v:.6g}" for m, v in zip(metrics, trial.values, strict=True))
        log.info("best          trial %d: %s by %s", trial.number, values, trial.params)
    with atomic_text(Path(config.hydra.sweep.dir) / RESULTS) as file:
        file.write(OmegaConf.to_yaml(OmegaConf.create({"name": "optuna", **found})))
