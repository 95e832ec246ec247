"""Launching jobs on a Ray cluster: Ray finds each a place, and a lost one goes on in another.

The command that launches them alone starts jobs again, so that one process writes sweep.json: what
was lost goes on from its last checkpoint, as under `sweep resume`.
"""

import logging
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import (
    JobReturn,
    JobStatus,
    configure_log,
    filter_overrides,
    setup_globals,
)
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from lora_lightning.config.overrides import quote
from lora_lightning.errors import InputError, first_line
from lora_lightning.sweep.again import make_ready, overrides_again
from lora_lightning.sweep.callback import keeps_nothing
from lora_lightning.sweep.launched import compose_job, run_composed
from lora_lightning.sweep.ray_cluster import Needs, connect
from lora_lightning.sweep.record import JOB, PLAN, Job, SweepFolder, read_job, write_job
from lora_lightning.sweep.table_file import update_table

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shared:
    """What all jobs have in common, sent to each machine once."""

    context: HydraContext
    task: TaskFunction
    config: DictConfig
    singletons: dict[Any, Any]
    folder: str  # where the command was started; relative paths are relative to it

    @property
    def sweep(self) -> SweepFolder:
        """The sweep's folder."""
        return SweepFolder(Path(str(self.config.hydra.sweep.dir)).resolve())

    def compose(self, overrides: Sequence[str], number: int) -> DictConfig:
        """Return the config of one job."""
        return compose_job(self.context, self.config, overrides, number)


def launch(
    context: HydraContext,
    task: TaskFunction,
    config: DictConfig,
    overrides: Sequence[Sequence[str]],
    first: int,
) -> list[JobReturn]:
    """Run jobs, and return what Hydra's sweepers expect of each, in order.

    Args:
        context: Hydra's.
        task: the command.
        config: of the sweep.
        overrides: of each job.
        first: number of the first job.

    Raises:
        InputError: no cluster answers, or no machine of it could run one of the jobs; or a job
            failed, under `on_job_failure=raise`.
    """
    setup_globals()
    configure_log(config.hydra.hydra_logging, config.hydra.verbose)
    connect(config)
    import ray

    shared = Shared(context, task, config, Singleton.get_state(), str(Path.cwd()))
    numbers = range(first, first + len(overrides))
    given = dict(zip(numbers, map(list, overrides), strict=True))
    needs = {number: Needs.of(shared.compose(own, number)) for number, own in given.items()}
    for need in set(needs.values()):
        need.require_a_machine()
    sent, retries = ray.put(shared), dict.fromkeys(numbers, config.hydra.launcher.max_retries)

    # A process of its own for each job, which leaves no memory behind; lost ones begin below.
    once = ray.remote(max_calls=1, max_retries=0)(run)

    def begin(number: int, own: list[str]) -> Any:
        need = needs[number]
        placed = once.options(
            num_cpus=need.num_cpus, num_gpus=need.num_gpus, memory=need.memory or None
        )
        return placed.remote(sent, own, number)

    running = {}
    for number, own in given.items():
        log.info("\t#%d : %s", number, " ".join(filter_overrides(own)))
        running[begin(number, own)] = number
    returned: dict[int, JobReturn] = {}
    while running:
        [ended], _ = ray.wait(list(running))
        number = running.pop(ended)
        outcome = _outcome(ended)
        lost = None if keeps_nothing(config) else lost_job(shared, given[number], number, outcome)
        if lost is not None and retries[number]:
            retries[number] -= 1
            log.warning("job %s was lost (%s) and goes on", lost.job, lost.error)
            running[begin(number, ready_again(shared, given[number], lost))] = number
            continue
        if lost is not None:
            write_job(shared.sweep.path / lost.job, lost)
            update_table(shared.sweep, lost)
        returned[number] = _checked(outcome, number, stops=config.on_job_failure == "raise")
    return [returned[number] for number in numbers]


def run(shared: Shared, overrides: list[str], number: int) -> JobReturn:
    """Run a job in a worker of Ray's, on whichever machine.

    Raises:
        InputError: the machine does not see the sweep's folder.
    """
    for key in [key for key in os.environ if key.startswith("SLURM_")]:
        del os.environ[key]  # of the task that started Ray there, and no job's
    if os.path.isdir(shared.folder):
        os.chdir(shared.folder)
    setup_globals()
    Singleton.set_state(shared.singletons)
    config = shared.compose(overrides, number)
    HydraConfig.instance().set_config(config)
    plan = Path(str(config.hydra.sweep.dir)).resolve() / PLAN
    if not (keeps_nothing(config) or plan.is_file()):
        raise InputError(
            f"{plan.parent}: {socket.gethostname()}, a machine of the Ray cluster, does not see "
            "this folder; set output_dir= to one that all of them share"
        )
    try:
        return run_composed(shared.context, shared.task, config)
    except SystemExit as end:  # which Ray would take for a worker's own end
        failure = InputError(str(end.code).removeprefix("error: "))
        return JobReturn(overrides, status=JobStatus.FAILED, _return_value=failure)


def lost_job(shared: Shared, overrides: list[str], number: int, outcome: JobReturn) -> Job | None:
    """Return the record of a job that was lost with its worker; None of one that ended by itself.

    Args:
        shared: with the sweep's config.
        overrides: of the job.
        number: of the job.
        outcome: what Ray has of it.
    """
    from ray.exceptions import RayError, RayTaskError

    if outcome.status == JobStatus.COMPLETED:
        return None
    failure, sweep = outcome._return_value, shared.sweep
    subdir = Path(str(shared.compose(overrides, number).hydra.sweep.subdir))
    name = str(number) if subdir.is_absolute() else subdir.as_posix()
    if (sweep.path / name / JOB).is_file():
        job = read_job(sweep.path / name)
        is_lost = job.status in ("running", "killed")
    else:  # not yet, or it failed before it had a record
        given = [own for own in overrides if not own.startswith("hydra.")]
        job = Job(name, sweep.plan.jobs.get(name, given))
        is_lost = isinstance(failure, RayError) and not isinstance(failure, RayTaskError)
    return replace(job, job=name, status="killed", error=first_line(failure)) if is_lost else None


def ready_again(shared: Shared, overrides: list[str], lost: Job) -> list[str]:
    """Make a lost job's folder ready, and return the overrides with which it goes on."""
    sweep, plan = shared.sweep, shared.sweep.plan
    sweep.write_plan(replace(plan, jobs=plan.jobs | {lost.job: lost.overrides}))
    make_ready(sweep, lost.job, plan.command)
    place = f"hydra.sweep.dir={quote(str(sweep.path))}"
    of_search = [own for own in overrides if own.startswith("hydra.sweeper.trial=")]
    return [*overrides_again([lost.job]), place, *of_search]


def _outcome(ended: Any) -> JobReturn:
    """Return what a job gave; where its worker or machine was lost, Ray's error as its failure."""
    import ray

    try:
        outcome: JobReturn = ray.get(ended)
    except ray.exceptions.RayTaskError as error:
        cause = error.cause if isinstance(error.cause, InputError) else error
        return JobReturn(status=JobStatus.FAILED, _return_value=cause)
    except ray.exceptions.RayError as error:
        return JobReturn(status=JobStatus.FAILED, _return_value=error)
    return outcome


def _checked(outcome: JobReturn, number: int, stops: bool) -> JobReturn:
    """Return what a sweeper gets; a failure ends the sweep only where it is to.

    Raises:
        InputError: it is to.
    """
    if outcome.status == JobStatus.COMPLETED:
        return outcome
    message = f"job {number} failed: {first_line(outcome._return_value)}"
    if stops:
        raise InputError(message)
    log.error("%s", message)
    return JobReturn(outcome.overrides, status=JobStatus.COMPLETED)
