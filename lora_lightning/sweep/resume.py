"""Run again what a sweep did not finish: failed, killed, missing jobs, each in its folder."""

import os
import sys
from dataclasses import replace
from pathlib import Path

from lora_lightning.config.overrides import plain_override, quote
from lora_lightning.config.study import storage_in, study_name
from lora_lightning.config.trust import trust_of, trusted_no_longer, without_trust
from lora_lightning.errors import InputError
from lora_lightning.process import REPOSITORY
from lora_lightning.process.children import run_child
from lora_lightning.runs.folder import CONTINUES
from lora_lightning.runs.stored_config import RESOLVED, read_resolved
from lora_lightning.sweep.again import has_checkpoint, make_ready, overrides_again
from lora_lightning.sweep.promote import promoted
from lora_lightning.sweep.record import PLAN, Job, Plan, SweepFolder
from lora_lightning.sweep.space import SEARCHES
from lora_lightning.sweep.table_file import write_table
from lora_lightning.sweep.told import tell_finished
from lora_lightning.sweep.trusted import check_sweep

BASE_OF_BEFORE = ("data", "sample", "gpt2_tiny")
PROMOTE = "promote="
MAY_CHANGE = ("hydra/launcher", "hydra.launcher.", "on_job_failure")


def resume_sweep(sweep: SweepFolder, settings: list[str]) -> int:
    """Run the unfinished jobs of a sweep with its launcher, and return the exit code.

    A job runs with its own overrides of before. Where an Optuna study was cut short, its remaining
    trials are drawn afterwards.

    Args:
        sweep: the folder.
        settings: of the launcher, `promote=`, and `trust=`.

    Raises:
        InputError: `settings` holds more than that, a job is still running, or the folder, which
            others may have written, names what is not allowed.
    """
    extra, everything = without_trust(settings)
    chosen = [argument for argument in extra if argument.startswith(PROMOTE)]
    extra = [argument for argument in extra if argument not in chosen]
    for argument in extra:
        if not argument.startswith(MAY_CHANGE):
            raise InputError(
                f"{argument}: a resumed sweep keeps its settings; only hydra/launcher=…, "
                "hydra.launcher.…, on_job_failure=…, promote=… and trust=… may be given"
            )
    with trusted_no_longer():
        check_sweep(sweep, trust_of(everything))
        further = [job for one in chosen for job in promoted(sweep, one.removeprefix(PROMOTE))]
        return _resume(sweep, extra, further)


def _resume(sweep: SweepFolder, extra: list[str], further: list[Job]) -> int:
    plan, jobs = sweep.plan, sweep.jobs()
    if running := [job for job in jobs if job.status == "running"]:
        raise InputError(
            f"job {running[0].job} is still running (process {running[0].process} on "
            f"{running[0].host}); wait for it, or end it and remove {running[0].job}/job.json"
        )
    unfinished = [*(job for job in jobs if job.is_unfinished), *further]
    missing = max(0, (plan.trials or 0) - len(jobs))
    if not unfinished and not missing:
        sys.stdout.write("every job finished; nothing to do\n")
    code = rerun(sweep, plan, unfinished, extra) if unfinished else 0
    tell_study(sweep, plan)
    if missing:
        code = draw_more(sweep, plan, missing, extra) or code
    return code


def rerun(sweep: SweepFolder, plan: Plan, unfinished: list[Job], extra: list[str]) -> int:
    """Run jobs again by name, whatever their overrides have in common."""
    # Their overrides must outlive their folders, and this command.
    base = base_of_before(sweep)
    known = plan.jobs | {
        job.job: job.overrides
        if names_base(job.overrides) or has_checkpoint(sweep.path / job.job)
        else [*base, *job.overrides]
        for job in unfinished
    }
    sweep.write_plan(replace(plan, jobs=known))
    for job in unfinished:
        make_ready(sweep, job.job, plan.command)
    write_table(sweep)
    again = overrides_again([job.job for job in unfinished])
    return launch(sweep, plan, again + with_launcher(launcher_of(plan), extra))


def names_base(overrides: list[str]) -> bool:
    """Whether a command line says itself which base it has."""
    return any(override.startswith(("model=", "model.path=")) for override in overrides)


def base_of_before(sweep: SweepFolder) -> list[str]:
    """Return the override that keeps the bundled base which finished jobs had, if it is another.

    `model=gpt2_tiny` once was what now is kept beside it; jobs of two bases would not compare.
    """
    for job in sweep.jobs():
        is_asked = job.status == "finished" and not names_base(job.overrides)
        if is_asked and (sweep.path / job.job / RESOLVED).is_file():
            base = Path(read_resolved(sweep.path / job.job).model.path)
            is_older = base.parts[-3:] == BASE_OF_BEFORE
            return ["model.path=${paths.sample_dir}/" + base.name] if is_older else []
    return []


def launcher_of(plan: Plan) -> list[str]:
    """Return the arguments of a command line that say how its jobs are launched."""
    given = [argument for argument in plan.arguments if argument.startswith(MAY_CHANGE)]
    is_chosen = any(argument.startswith("hydra/launcher=") for argument in given)
    return given if is_chosen else [f"hydra/launcher={plan.launcher}", *given]


def draw_more(sweep: SweepFolder, plan: Plan, trials: int, extra: list[str]) -> int:
    """Let the sampling sweeper of the same command draw further trials of its study."""
    first = len(sweep.jobs())
    arguments = [a for a in plan.arguments if a not in ("-m", "--multirun")]
    subdir = f"${{sum:{first},${{hydra.job.num}}}}"
    own = [
        f"hydra.sweeper.n_trials={trials}",
        f"hydra.sweep.subdir={quote(subdir, keep_interpolations=True)}",
    ]
    if plan.storage is not None:
        storage = plain_override(plan.storage, keep_interpolations=False)
        own.append(f"hydra.sweeper.storage={storage}")
    base = [] if names_base(arguments) else base_of_before(sweep)
    return launch(sweep, plan, base + with_launcher(arguments, extra) + own)


def launch(sweep: SweepFolder, plan: Plan, arguments: list[str]) -> int:
    """Run the sweep's command as a multirun that goes on in the same folder."""
    if not Path(plan.folder).is_dir():
        raise InputError(f"{sweep.path / PLAN}: folder={plan.folder}: no such folder")
    environment = os.environ | {CONTINUES: str(sweep.path)}
    folder = f"hydra.sweep.dir={quote(str(sweep.path))}"
    script = str(REPOSITORY / f"{plan.command}.py")
    return run_child([script, "-m", *arguments, folder], environment, plan.folder)


def with_launcher(arguments: list[str], extra: list[str]) -> list[str]:
    """Return `arguments` and `extra`; a launcher that `extra` chooses takes the former's place."""
    if any(argument.startswith("hydra/launcher=") for argument in extra):
        arguments = [a for a in arguments if not a.startswith(("hydra/launcher", "hydra.launcher"))]
    return [*arguments, *extra]


def tell_study(sweep: SweepFolder, plan: Plan) -> None:
    """Tell the Optuna study what jobs gave that it has not heard of."""
    if plan.sweeper in SEARCHES and any(job.status != "missing" for job in sweep.jobs()):
        storage = plan.storage or storage_in(sweep.path)
        tell_finished(storage, study_name(plan.study), sweep.jobs())
