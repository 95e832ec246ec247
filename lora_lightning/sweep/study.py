"""The Optuna study behind a sweep: one storage, one study, continued only by the same question.

A study under the same name but with another search space, direction, metric or fixed setting would
mix numbers that do not compare, so it is refused before the first trial.
"""

from collections.abc import Iterable
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


def claim_study(config: DictConfig) -> None:
    """Create the study, or check that it is this sweep's.

    Raises:
        InputError: the storage cannot be read, or holds another study.
    """
    import optuna

    sweeper = config.hydra.sweeper
    storage, name = sweeper.storage, sweeper.study_name
    if storage is None:
        return
    if name is None:
        raise InputError(
            "hydra.sweeper.storage needs hydra.sweeper.study_name=<name> to go on with"
        )
    if (path := sqlite_file(storage)) is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        others = {summary.study_name for summary in optuna.get_all_study_summaries(storage)}
    except Exception as error:  # SQLAlchemy's and the driver's many kinds
        raise InputError(
            f"hydra.sweeper.storage={storage}: cannot be opened ({first_line(error)})"
        ) from None
    if path is not None and others and name not in others:
        raise InputError(
            f"hydra.sweeper.storage={storage} holds another study, {min(others)}; set "
            f"hydra.sweeper.study_name={min(others)} to go on with it, or another storage"
        )
    direction = getattr(sweeper.direction, "name", sweeper.direction)
    if name in others:
        study = optuna.load_study(study_name=name, storage=storage)
    else:
        study = optuna.create_study(study_name=name, storage=storage, direction=direction)
    _check_question(study, question(config), direction)


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
    before = study.user_attrs.get(QUESTION)
    if before is None and not study.trials:
        study.set_user_attr(QUESTION, asked)
        return
    found = before or {}
    differing = sorted(k for k in {*asked, *found} if asked.get(k) != found.get(k))
    other_direction = study.direction.name.lower() != direction
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
