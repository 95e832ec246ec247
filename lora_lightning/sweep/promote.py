"""`sweep resume <folder> promote=…`: jobs that were pruned go on to their end after all."""

from lora_lightning.config.study import direction_of
from lora_lightning.errors import InputError
from lora_lightning.sweep.record import Job, SweepFolder
from lora_lightning.sweep.table import row_of

BEST, ALL = "best", "all"


def promoted(sweep: SweepFolder, chosen: str) -> list[Job]:
    """Return the pruned jobs that are to go on.

    Args:
        sweep: the folder.
        chosen: names of jobs with commas between them, `best`, which is the one with the best last
            validation, or `all`.

    Raises:
        InputError: one of them was not pruned, or none was.
    """
    pruned = {job.job: job for job in sweep.jobs() if job.status == "pruned"}
    if not pruned:
        raise InputError(f"promote={chosen}: no job of {sweep.path} was pruned")
    if chosen == ALL:
        return list(pruned.values())
    if chosen == BEST:
        return [min(pruned.values(), key=lambda job: _last_value(sweep, job))]
    names = chosen.split(",")
    for name in names:
        if name not in pruned:
            raise InputError(
                f"promote={name}: is no job that was pruned; allowed is {' | '.join(pruned)}, "
                f"several with commas between them, {BEST} or {ALL}"
            )
    return [pruned[name] for name in dict.fromkeys(names)]


def _last_value(sweep: SweepFolder, job: Job) -> float:
    """Return what a job's last validation measured, the better the less."""
    row, metric = row_of(sweep.path / job.job, job, sweep.plan), sweep.plan.objective or ""
    metric = metric if metric in row else "val/loss"
    value = row.get(metric)
    if value is None:
        return float("inf")
    return float(value if direction_of(metric) == "minimize" else -value)
