"""Sweep folders as a sweep leaves them, without its trainings."""

import csv
import json

from lora_lightning.sweep.record import Job, Plan, SweepFolder, write_job


def table_of(sweep):
    """Return the rows of a sweep's table."""
    with (sweep / "sweep.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def plan(jobs=(), axes=("method.rank", "seed"), metric="val/loss", **further):
    given = {"command": "train", "arguments": ["-m"], "folder": "/", "launcher": "basic"}
    given |= {"sweeper": "basic", "trials": None, "storage": None, "study": None}
    return Plan(**(given | {"axes": list(axes), "metric": metric, "jobs": dict(jobs)} | further))


def grid(count):
    return {str(n): [f"method.rank={2 ** (n % 5)}", f"seed={n // 5}"] for n in range(count)}


def sweep_of(folder, count, **further):
    """Return a sweep of `count` planned jobs, none of which has begun."""
    folder.mkdir(parents=True)
    sweep = SweepFolder(folder.resolve())
    sweep.write_plan(plan(grid(count), **further))
    return sweep


def begin(sweep, name):
    """Begin a job, as its record says."""
    job = Job(name, sweep.plan.jobs[name], "running", "2999-01-01T00:00:00+00:00")
    write_job(sweep.path / name, job)
    return job


def end(sweep, name, objective=1.0, status="finished", error=None, scores=None):
    """End a job, with what it leaves in its folder."""
    folder, overrides = sweep.path / name, sweep.plan.jobs[name]
    job = Job(name, overrides, status, None, 2.5, objective, error)
    write_job(folder, job)
    if status == "finished":
        parameters = {"parameters": {"trainable": 100, "total": 1000}}
        (folder / "run.json").write_text(json.dumps(parameters))
        (folder / "metrics.csv").write_text(f"step,epoch,val/loss\n1,0,{objective}\n")
        for split, values in (scores or {}).items():
            (folder / "evaluation" / split).mkdir(parents=True, exist_ok=True)
            record = {"scores": values, "not_computed": {}}
            (folder / "evaluation" / split / "metrics.json").write_text(json.dumps(record))
    return job
