"""How far a sweep is, in one line: said where a job begins or ends, above the job's own bar."""

from statistics import mean

from lora_lightning.config.study import direction_of
from lora_lightning.sweep.record import Plan
from lora_lightning.sweep.table_file import TableFile

WIDTH = 79  # columns, as some terminals begin a line after the last of 80
LABEL = "sweep         "
COUNTED = {"running": ("running",), "pruned": ("pruned",), "failed": ("failed", "killed")}


def progress_line(plan: Plan, table: TableFile) -> str:
    """Return how many jobs are done and in which state, the best objective, and the time left."""
    statuses = table.column("status")
    total = max(len(statuses), plan.trials or 0)
    counts = {name: sum(map(statuses.count, states)) for name, states in COUNTED.items()}
    done = sum(status not in ("missing", "running") for status in statuses)
    parts = [f"{done}/{total} done"]
    parts += [f"{count} {name}" for name, count in counts.items() if count]
    left = _time_left(table, total - done, counts["running"])
    further = [[*filter(None, [best]), *left] for best in _best(plan, table)]
    for shown in [*further, []]:
        line = LABEL + ", ".join([*parts, *shown])
        if len(line) <= WIDTH:
            break
    return line


def _best(plan: Plan, table: TableFile) -> list[str]:
    """Return forms of the best objective, the longest first, the last empty."""
    if not isinstance(plan.metric, str):  # none, or several
        return [""]
    found = []
    for job, cell in zip(table.column("job"), table.column("objective"), strict=True):
        try:
            found.append((float(cell), job))
        except ValueError:  # none yet, or several objectives
            continue
    if not found:
        return [""]
    choose = min if direction_of(plan.metric) == "minimize" else max
    value, job = choose(found, key=lambda pair: pair[0])
    named = f"best {plan.metric} {value:.4f}"
    return [f"{named} (job {job})", named, f"best {value:.4f}", ""]


def _time_left(table: TableFile, waiting: int, running: int) -> list[str]:
    """Return the time that the jobs left take, if as many run at once as do now."""
    pairs = zip(table.column("status"), table.column("seconds"), strict=True)
    seconds = [float(value) for status, value in pairs if status == "finished" and value]
    if not seconds or not waiting:
        return []
    total = mean(seconds) * waiting / max(1, running)
    minutes, rest = divmod(round(total), 60)
    hours, minutes = divmod(minutes, 60)
    return [f"{hours} h {minutes:02} min left" if hours else f"{minutes} min {rest:02} s left"]
