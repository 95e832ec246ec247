"""The Optuna study behind a sweep: one storage, one study, continued only by the same question.

A study under the same name but with another search space, direction, metric or fixed setting would
mix numbers that do not compare, so it is refused before the first trial.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from lora_lightning.config.study import sqlite_file
from lora_lightning.errors import InputError, first_line
from lora_lightning.sweep.record import Job

if TYPE_CHECKING:
    import optuna

QUESTION = "lora_lightning"  # the study's attribute that says what it asks
# What may differ between two commands of one study.
FREE = ("output_dir", "name", "overwrite", "on_job_failure", "logger", "paths", "hydra")


def check_study(config: DictConfig) -> None:
    """Check that the storage holds this sweep's study, or none yet; nothing is written.

    Raises:
        InputError: the storage cannot be read, or holds another study.
    """
    sweeper = config.hydra.sweeper
    storage, name = sweeper.storage, sweeper.study_name
    if storage is None:
        return
    if name is None:
        raise InputError(
            "hydra.sweeper.storage needs hydra.sweeper.study_name=<name> to go on with"
        )
    path = sqlite_file(storage)
    if path is not None and not path.exists():
        return
    others = _studies(storage)
    if path is not None and others and name not in others:
        raise InputError(
            f"hydra.sweeper.storage={storage} holds another study, {min(others)}; set "
            f"hydra.sweeper.study_name={min(others)} to go on with it, or another storage"
        )
    if name in others:
        import optuna

        asked = question(config)
        with readable(storage):
            study = optuna.load_study(study_name=name, storage=storage)
            _check_question(study, asked, _direction(config))


def claim_study(config: DictConfig) -> None:
    """Create the study of a sweep that was checked, or take the one that is there.

    Raises:
        InputError: the storage cannot be written.
    """
    import optuna

    sweeper = config.hydra.sweeper
    if sweeper.storage is None:
        return
    if (path := sqlite_file(sweeper.storage)) is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    asked = question(config)
    with readable(sweeper.storage):
        study = optuna.create_study(
            study_name=sweeper.study_name,
            storage=sweeper.storage,
            direction=_direction(config),
            load_if_exists=True,
        )
        if _is_free(study):
            study.set_user_attr(QUESTION, asked)


def _studies(storage: str) -> set[str]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with readable(storage):
        return {summary.study_name for summary in optuna.get_all_study_summaries(storage)}


@contextmanager
def readable(storage: str) -> Iterator[None]:
    """Context in which a storage that is damaged, none, or on a full disk is bad input.

    Raises:
        InputError: naming it.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # SQLAlchemy's and the driver's many kinds, Optuna's assertions
        raise InputError(
            f"hydra.sweeper.storage={storage}: cannot be opened or written ({first_line(error)})"
        ) from None


def _direction(config: DictConfig) -> str:
    direction = config.hydra.sweeper.direction
    return str(getattr(direction, "name", direction))


def _is_free(study: "optuna.Study") -> bool:
    """Whether a study holds nothing that another question could be mixed with."""
    return all(trial.state.name == "FAIL" for trial in study.trials)


def question(config: DictConfig) -> dict[str, str]:
    """Return what a study asks: search space, metric, and every fixed override."""
    from lora_lightning.sweep.plan import sweep_overrides

    asked = {"optimized_metric": str(config.get("optimized_metric"))}
    for override in sweep_overrides(config):
        key = override.key_or_group
        if key.split(".")[0].split("/")[0] not in FREE:
            asked[key] = str(override.input_line).split("=", 1)[-1]
    return asked


def _check_question(study: "optuna.Study", asked: dict[str, str], direction: str) -> None:
    other_direction = study.direction.name.lower() != direction
    if _is_free(study) and not other_direction:
        return
    before = study.user_attrs.get(QUESTION)
    found = before or {}
    differing = sorted(k for k in {*asked, *found} if asked.get(k) != found.get(k))
    if before is None or differing or other_direction:
        what = "; ".join(f"{k}: {found.get(k)} there, {asked.get(k)} here" for k in differing)
        what = what or f"direction {study.direction.name.lower()}"
        raise InputError(
            f"the storage holds another study under the name {study.study_name} ({what}); give "
            "this one name=<label> or hydra.sweeper.study_name=<name>"
        )


def tell_finished(storage: str, name: str, jobs: Iterable[Job]) -> None:
    """Tell a study the values of finished jobs that it has not heard of.

    These have run again, or the sweep was killed between a job's end and the study.
    """
    import optuna
    from optuna.trial import TrialState, create_trial

    with readable(storage):
        study = optuna.load_study(study_name=name, storage=storage)
        trials = [trial for trial in study.get_trials() if trial.params]
        order = (TrialState.COMPLETE, TrialState.RUNNING, TrialState.FAIL)
        trials = [trial for state in order for trial in trials if trial.state == state]
        for job in jobs:
            trial = next((trial for trial in trials if _is_of(trial.params, job)), None)
            if trial is None or job.status != "finished" or job.objective is None:
                continue
            trials.remove(trial)  # two jobs may have the same values
            if trial.state == TrialState.RUNNING:
                study.tell(trial.number, job.objective)
            elif trial.state == TrialState.FAIL:
                drawn = {"params": trial.params, "distributions": trial.distributions}
                study.add_trial(create_trial(**drawn, value=job.objective))


def _is_of(drawn: dict[str, Any], job: Job) -> bool:
    """Whether a job has the values that a trial has drawn."""
    return {f"{key}={value}" for key, value in drawn.items()} <= set(job.overrides)
