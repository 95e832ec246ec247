"""What a sweep leaves on disk: sweep.json (what was asked for) and a job.json in each job's folder.

Everything else about a sweep, the table above all, is read from these and from the run folders, so
it is right whoever looks, whenever.
"""

import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from os.path import expanduser
from pathlib import Path

from lora_lightning.config.commands import COMMANDS
from lora_lightning.config.stored import check_choice
from lora_lightning.errors import InputError
from lora_lightning.files import read_json, require_kind, require_within, write_json
from lora_lightning.process.parent import is_running
from lora_lightning.runs.latest import LATEST, latest_holding, outputs_folder

PLAN = "sweep.json"
TABLE = "sweep.csv"
JOB = "job.json"
ERROR = "error.txt"


@dataclass(frozen=True)
class Plan:
    """What a sweep was asked to do.

    Attributes:
        command: `train`, `generate` or `evaluate`.
        arguments: the command line, without the script.
        folder: where the command was started; relative paths are relative to it.
        launcher: option of `hydra/launcher`.
        sweeper: option of `hydra/sweeper`.
        axes: the swept keys, in the order given.
        metric: what the sweep optimizes, one or several; None where the command has no such thing.
        trials: how many jobs a sampling sweeper will draw; None where `jobs` lists them all.
        storage: the storage of an Optuna study, if any.
        study: the name of that study.
        jobs: job → its overrides, as far as they are known beforehand.
    """

    command: str
    arguments: list[str]
    folder: str
    launcher: str
    sweeper: str
    axes: list[str]
    metric: str | list[str] | None
    trials: int | None
    storage: str | None
    study: str | None
    jobs: dict[str, list[str]]

    @property
    def metrics(self) -> list[str]:
        """What the sweep optimizes: nothing, one metric or several."""
        if self.metric is None:
            return []
        return [self.metric] if isinstance(self.metric, str) else self.metric

    @property
    def objective(self) -> str | None:
        """The one metric that orders its jobs, None where there is none, or several."""
        return self.metric if isinstance(self.metric, str) else None


@dataclass(frozen=True)
class Job:
    """One job of a sweep, as its job.json says."""

    job: str
    overrides: list[str]
    status: str = "missing"
    started: str | None = None
    seconds: float | None = None
    objective: float | list[float] | None = None
    error: str | None = None
    host: str = field(default_factory=socket.gethostname)
    process: int = field(default_factory=os.getpid)
    results: str | None = None  # their folder, where it is not the record's

    @property
    def is_unfinished(self) -> bool:
        """Whether it has to run again."""
        return self.status in ("failed", "killed", "missing")


@dataclass(frozen=True)
class SweepFolder:
    """A sweep on disk."""

    path: Path

    @classmethod
    def open(cls, path: Path | str) -> "SweepFolder":
        """Return the sweep in `path`.

        Raises:
            InputError: there is none.
        """
        folder = Path(expanduser(path))
        if not (folder / PLAN).is_file():
            what = "holds no sweep" if folder.is_dir() else "no such folder"
            raise InputError(f"{path}: {what}; give the folder that `train.py -m …` wrote")
        return cls(folder.resolve())

    @classmethod
    def named(cls, name: Path | str, overrides: Sequence[str] = ()) -> "SweepFolder":
        """Return the sweep in a folder, or the latest.

        Args:
            name: the folder, or `latest`: the sweep that began, or was resumed, last.
            overrides: that say where sweeps lie.

        Raises:
            InputError: there is none.
        """
        if str(name) != LATEST:
            return cls.open(name)
        root = outputs_folder("train", overrides)
        if (found := latest_holding(PLAN, root)) is None:
            raise InputError(f"latest: no sweep below {root}; begin one with train.py -m …")
        return cls.open(found)

    @property
    def plan(self) -> Plan:
        """What the sweep was asked to do.

        Raises:
            InputError: sweep.json is damaged, or names another command or a job elsewhere.
        """
        file = self.path / PLAN
        state = file.stat() if file.is_file() else None
        return _plan(
            file, None if state is None else (state.st_mtime_ns, state.st_size, state.st_ino)
        )

    def write_plan(self, plan: Plan) -> None:
        """Write sweep.json."""
        write_json(self.path / PLAN, asdict(plan))

    def jobs(self) -> list[Job]:
        """Return every job that began or is planned, in order."""
        planned = {name: Job(name, overrides) for name, overrides in self.plan.jobs.items()}
        begun = [self._begun(folder) for folder in self._begun_folders()]
        jobs = planned | {job.job: job for job in begun}
        return sorted(jobs.values(), key=lambda job: place_of(job.job))

    def _begun_folders(self) -> Iterator[Path]:
        """Yield the folder of each job that began; what a job wrote below it is not looked at."""
        for folder, names, files in os.walk(self.path):
            if JOB in files and Path(folder) != self.path:
                names.clear()
                yield Path(folder)

    def _begun(self, folder: Path) -> Job:
        """Return the job in `folder`, which is its name whatever the file says."""
        return replace(read_job(folder), job=folder.relative_to(self.path).as_posix())


@lru_cache(maxsize=2)
def _plan(file: Path, state: object) -> Plan:
    """Return what a sweep.json says; jobs of one process ask for it again and again.

    Args:
        file: the sweep.json.
        state: tells one content of the file from another.
    """
    plan = require_kind(read_json(file), Plan, file, "put it back, or begin a new sweep")
    if plan.command not in COMMANDS:
        raise InputError(f"{file}: {plan.command!r} is no command; allowed is train | generate "
                         "| evaluate")  # fmt: skip
    for group in ("launcher", "sweeper"):
        check_choice(f"hydra/{group}", getattr(plan, group), str(file))
    folder = str(file.parent)
    for name in plan.jobs:
        path = os.path.join(folder, name)
        if not name.isdigit() or os.path.islink(path):  # the quick look, for thousands of jobs
            require_within(Path(path), file.parent, f"{file}: job {name!r}")
    return plan


def read_job(folder: Path) -> Job:
    """Return the job in `folder`; one whose process died without a word counts as killed.

    Raises:
        InputError: its job.json is damaged.
    """
    path = folder / JOB
    job = require_kind(read_json(path), Job, path, "remove it, to have the job run again")
    return replace(job, status="killed") if job.status == "running" and _is_dead(job) else job


def write_job(folder: Path, job: Job) -> None:
    """Write job.json."""
    write_json(folder / JOB, asdict(job))


def _is_dead(job: Job) -> bool:
    """Whether the process that wrote a job's record has ended; its id may be another's by now."""
    if job.host != socket.gethostname() or job.started is None:
        return False  # nobody can tell from here
    try:
        started = datetime.fromisoformat(job.started).timestamp()
    except (ValueError, OverflowError):  # no time, or none of this era
        return False
    return not is_running(job.process, started)


def place_of(name: str) -> tuple[int, str]:
    """Return what jobs are sorted by: numbers first, in their order."""
    return (int(name), "") if name.isdigit() else (1 << 30, name)
