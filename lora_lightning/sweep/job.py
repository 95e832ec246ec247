"""A job: a command's task on its own, or one of a sweep, recorded and kept from ending the others.

`run_task` is called around the task in whatever process the launcher made, so that it holds with
every launcher and sweeper.
"""

import gc
import logging
import os
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from lora_lightning.config.faults import COMPOSING, explain
from lora_lightning.config.paths import expand_homes
from lora_lightning.config.trust import import_from
from lora_lightning.config.typed import command_line
from lora_lightning.errors import (
    TRACEBACK,
    InputError,
    Interrupted,
    disk_fault,
    end_interrupted,
    presentable,
)
from lora_lightning.process import garbage, process_rank
from lora_lightning.process.lost_ranks import ended_by_lost_rank
from lora_lightning.process.parent import end_with_command
from lora_lightning.runs.folder import ISOLATED_JOB, output_folder
from lora_lightning.runs.going_on import how_to_go_on
from lora_lightning.runs.isolation import own_overrides
from lora_lightning.runs.trial import PrunedError, current_trial
from lora_lightning.sweep.again import results_elsewhere, run_again
from lora_lightning.sweep.progress import progress_line
from lora_lightning.sweep.record import ERROR, JOB, Job, SweepFolder, write_job
from lora_lightning.sweep.table_file import first_failed, update_table
from lora_lightning.sweep.trusted import how_to_resume

log = logging.getLogger(__name__)
AROUND_TASK: ContextVar[Callable[[], AbstractContextManager[None]]] = ContextVar(
    "AROUND_TASK", default=nullcontext
)
"""Context of a job's task, in which ranks that share several jobs wait for each other."""
ENDS_WELL = (None, 0, 3)  # exit codes; 3: an evaluation in which a score could not be computed


def run_task(task: Callable[[DictConfig], Any], config: DictConfig) -> Any:
    """Call a command's task; bad input ends it at once, before Hydra prints all overrides.

    So do a signal, which it exits from as if it had ended the process, and a fault of the disk. A
    job of a multirun is recorded, and leaves its traceback in its folder.
    """
    garbage.take_up()
    try:
        expand_homes(config)
    except COMPOSING as error:
        sys.exit(f"error: {explain(error)}")
    user_folder = Path(config.paths.user_dir).absolute()
    import_from(user_folder)
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        end_with_command()
        return run_job(task, config)
    try:
        with isolated_job(), ended_by_lost_rank(lambda: how_to_go_on(user_folder)):
            return task(config)
    except PrunedError:  # an isolated job's, which stands in its result.json
        return None
    except (InputError, *COMPOSING) as error:
        if TRACEBACK in os.environ:
            raise
        sys.exit(f"error: {explain(error)}")
    except Interrupted as interruption:
        if process_rank() > 0:
            sys.exit(0)  # Lightning kills rank 0 when another rank fails, whatever it is writing
        end_interrupted(interruption, how_to_go_on(user_folder))
    except OSError as error:
        if TRACEBACK in os.environ or (fault := disk_fault(error)) is None:
            raise
        sys.exit(f"error: {fault}; {how_to_go_on(user_folder)}")


def run_job(task: Callable[[DictConfig], Any], config: DictConfig) -> Any:
    """Run one job of a multirun, and return what its sweeper gets: a search of ours its record.

    A job that fails leaves error.txt in its folder. Under `on_job_failure=skip` the sweeper gets
    None for it and goes on.

    Raises:
        InputError: the job failed, or another did before, under `on_job_failure=raise`.
    """
    sweep = SweepFolder(Path(HydraConfig.get().sweep.dir).resolve())
    folder = output_folder().resolve()
    if process_rank() > 0:  # beside rank 0, which keeps the record
        try:
            with AROUND_TASK.get()():
                return task(config)
        except PrunedError:
            return None
        except Interrupted as interruption:
            sys.exit(interruption.exit_code)
    rerun = config.get("sweep_job")
    is_elsewhere = not folder.is_relative_to(sweep.path)
    name = str(HydraConfig.get().job.num) if is_elsewhere else str(folder.relative_to(sweep.path))
    record, results = (sweep.path / name, str(folder)) if is_elsewhere else (folder, None)
    stops = config.on_job_failure == "raise"
    if stops and (failed := first_failed(sweep)):
        raise InputError(f"job {name} was not started, because job {failed} failed")
    if (record / JOB).exists():
        raise InputError(f"{record}: another job of this sweep has the same folder")
    if rerun is not None:
        overrides = sweep.plan.jobs[str(rerun)]
        results = results_elsewhere(sweep, overrides, config)
        task = run_again(sweep.plan.command, overrides, folder, results)
    else:
        overrides = sweep.plan.jobs.get(name) or own_overrides()
    job = Job(name, overrides, "running", datetime.now().astimezone().isoformat(), results=results)
    job, value = _run(task, config, sweep, record, job)
    if (trial := current_trial()) is not None:
        from lora_lightning.sweep.told import tell_trial

        tell_trial(trial, job)
    # Trainer, module and PEFT's model hold each other, and Python may leave them for many jobs.
    gc.collect()
    if job.status == "failed":
        axes = sweep.plan.axes
        swept = " ".join(o for o in overrides if o.lstrip("+").split("=", 1)[0] in axes)
        message = f"job {name} ({swept}) failed: {job.error}; see {record / ERROR}"
        if stops:
            raise InputError(message)
        log.error("%s", message)
    return value if trial is None else job


def _run(
    task: Callable[[DictConfig], Any],
    config: DictConfig,
    sweep: SweepFolder,
    folder: Path,
    job: Job,
) -> tuple[Job, Any]:
    _note(sweep, folder, job)
    started = time.monotonic()
    value: Any = None
    status, error = "killed", "interrupted"  # where nothing below says otherwise
    try:
        with leave_traceback(folder), AROUND_TASK.get()():
            value = task(config)
        status, error = "finished", ""
    except SystemExit as end:
        if end.code in ENDS_WELL:
            status, error = "finished", ""
        else:
            status, error = "failed", last_error(folder) or str(end.code)
    except PrunedError as pruned:
        status, error = "pruned", ""
        log.info("job %s %s", job.job, pruned)
    except Interrupted as interruption:  # meant for the whole sweep
        error = str(interruption) or interruption.number.name
        advice = f"go on with: {how_to_resume(sweep, Path(config.paths.user_dir))}"
        end_interrupted(Interrupted("", interruption.number), advice)
    except Exception as failure:
        status = "failed"
        error = last_error(folder) or presentable(f"{type(failure).__name__}: {failure}")
    finally:  # also where the user interrupts the sweep
        objective = value if isinstance(value, int | float | list) else None
        job = replace(job, status=status, error=error or None, objective=objective,
                      seconds=round(time.monotonic() - started, 3))  # fmt: skip
        _note(sweep, folder, job)
    return job, value


def _note(sweep: SweepFolder, folder: Path, job: Job) -> None:
    """Write down how a job stands, and say how far the sweep is."""
    write_job(folder, job)
    log.info("%s", progress_line(sweep.plan, update_table(sweep, job)))


@contextmanager
def isolated_job() -> Iterator[None]:
    """Context of a task; where it is an isolated job of a sweep, its traceback stays there."""
    folder = os.environ.get(ISOLATED_JOB)
    with leave_traceback(Path(folder)) if folder else nullcontext():
        yield


@contextmanager
def leave_traceback(folder: Path) -> Iterator[None]:
    """Context in which an error leaves its traceback in error.txt of a job's folder.

    An isolated job writes it itself, so the process that waits for it keeps what is there.
    """
    rank = process_rank()
    path = folder / (ERROR if rank == 0 else f"error_rank_{rank}.txt")
    try:
        yield
    except BaseException as error:
        is_end = isinstance(error, SystemExit) and error.code in ENDS_WELL
        is_end = is_end or isinstance(error, PrunedError)
        if not is_end and not path.exists():
            path.write_text(presentable("".join(traceback.format_exception(error))), "utf-8")
        raise


def last_error(folder: Path) -> str | None:
    """Return the last line of the traceback that a job left, None where it left none."""
    path = folder / ERROR
    lines = path.read_text("utf-8", "replace").strip().splitlines() if path.is_file() else []
    return re.sub(r"^lora_lightning\.[\w.]+: ", "", lines[-1]) if lines else None


def end_of_sweep(sweep: SweepFolder, user_folder: Path) -> None:
    """Show the table, and say where it is; end with exit code 1 where jobs failed, naming them.

    Args:
        sweep: the folder.
        user_folder: where the user's own modules lie.
    """
    from lora_lightning.sweep.show import show_sweep

    show_sweep(sweep)
    jobs = sweep.jobs()
    show = command_line("-m", "lora_lightning.sweep", "show", str(sweep.path))
    log.info("sweep         %s: %s", sweep.path / "sweep.csv", show)
    if failed := [job for job in jobs if job.is_unfinished]:
        names = ", ".join(f"{job.job} ({job.status})" for job in failed)
        sys.exit(
            f"error: {len(failed)} of {len(jobs)} jobs did not finish: {names}; each folder's "
            f"{ERROR} says why, and `{how_to_resume(sweep, user_folder)}` runs them again"
        )
