"""What a study is told of its trials: how the job of each ended, wherever it ran, whenever."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from lora_lightning.config.study import open_storage
from lora_lightning.runs.trial import Trial
from lora_lightning.sweep.record import Job
from lora_lightning.sweep.study import readable

if TYPE_CHECKING:
    import optuna

OVERRIDES = "overrides"  # a trial's attribute: those of its job


def tell(study: "optuna.Study", number: int, job: Job | None) -> None:
    """Tell a study how a trial's job ended, unless it knows.

    A job that could not compute what the study asks for is none that failed: its trial ends without
    a value, as Optuna's pruned ones may.

    Args:
        study: of the sweep.
        number: of the trial.
        job: its job; None where that left no record.
    """
    from optuna.trial import TrialState

    value = None if job is None else job.objective
    if job is not None and job.status == "finished" and value is not None:
        state = TrialState.COMPLETE
    elif job is not None and job.status in ("finished", "pruned"):
        state, value = TrialState.PRUNED, None
    else:
        state, value = TrialState.FAIL, None
    try:
        study.tell(number, value, state, skip_if_finished=True)
    except RuntimeError as error:  # of the grid's sampler, after its last
        if "Study.stop" not in str(error):
            raise


def tell_trial(trial: Trial, job: Job) -> None:
    """Tell the study of a job how it ended, from wherever it ran: others are compared with it.

    Raises:
        InputError: the storage cannot be written.
    """
    with readable(trial.storage):
        tell(trial.load_study(), trial.number, job)


def tell_finished(storage: str, name: str, jobs: Iterable[Job]) -> None:
    """Tell a study the values of finished jobs that it has not heard of.

    These have run again, or the sweep was killed between a job's end and the study.
    """
    import optuna
    from optuna.trial import TrialState, create_trial

    with readable(storage):
        opened: Any = open_storage(storage)
        study = optuna.load_study(study_name=name, storage=opened)
        trials = [trial for trial in study.get_trials() if trial.params]
        order = (TrialState.COMPLETE, TrialState.RUNNING, TrialState.FAIL, TrialState.PRUNED)
        trials = [trial for state in order for trial in trials if trial.state == state]
        for job in jobs:
            trial = next((trial for trial in trials if _is_of(trial, job)), None)
            if trial is None or job.status != "finished" or job.objective is None:
                continue
            trials.remove(trial)  # two jobs may have the same values
            values = job.objective if isinstance(job.objective, list) else [job.objective]
            if trial.state == TrialState.RUNNING:
                study.tell(trial.number, values)
            elif trial.state in (TrialState.FAIL, TrialState.PRUNED):
                drawn: dict[str, Any] = {
                    "params": trial.params,
                    "distributions": trial.distributions,
                }
                study.add_trial(
                    create_trial(**drawn, values=values, user_attrs={OVERRIDES: job.overrides})
                )


def _is_of(trial: "optuna.trial.FrozenTrial", job: Job) -> bool:
    """Whether a job has the values that a trial has drawn."""
    drawn = trial.user_attrs.get(OVERRIDES) or [f"{k}={v}" for k, v in trial.params.items()]
    return set(drawn) <= set(job.overrides)
