"""The Hydra callback that makes a multirun a sweep with a record."""

import os
import sys
import traceback
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from lora_lightning.config.faults import COMPOSING, explain
from lora_lightning.config.keys import own_keys
from lora_lightning.config.own import user_folder
from lora_lightning.config.study import IN_SWEEP_FOLDER
from lora_lightning.config.typed import command_line
from lora_lightning.errors import InputError, disk_fault
from lora_lightning.process import process_rank
from lora_lightning.runs.folder import CONTINUES
from lora_lightning.runs.jobs import install_loader
from lora_lightning.sweep.record import ERROR, JOB, PLAN, TABLE, Plan, SweepFolder


class RecordSweep(Callback):
    """Checks a sweep before its first job, writes down what it will do, and says how it ended.

    It raises SystemExit because Hydra only warns of an Exception in a callback.
    """

    _ended: JobReturn | None = None

    def on_job_start(self, config: DictConfig, **_: object) -> None:
        """Drop the configs of the job before, 0.3 MB that Hydra keeps until the sweep ends."""
        if self._ended is not None:
            self._ended.cfg = self._ended.hydra_cfg = None

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **_: object) -> None:
        """Note what Hydra keeps of the job; callbacks after this one may still want its configs."""
        self._ended = job_return

    def on_multirun_start(self, config: DictConfig, **_: object) -> None:
        """Check, and write sweep.json; a sweep that is resumed has one."""
        install_loader()
        sweep = SweepFolder(Path(config.hydra.sweep.dir).resolve())
        if os.environ.get(CONTINUES) == str(sweep.path) or process_rank() > 0:
            return
        HydraConfig.instance().set_config(config)
        try:
            begin_sweep(sweep, config)
        except (InputError, *COMPOSING) as error:
            sys.exit(f"error: {explain(error, lambda: own_keys(config))}")
        except OSError as error:
            sys.exit(f"error: {disk_fault(error) or error}")
        except Exception:  # Hydra would go on without a record
            traceback.print_exc()
            sys.exit(1)

    def on_multirun_end(self, config: DictConfig, **_: object) -> None:
        """Say where the table is; exit code 1 where a job failed."""
        from lora_lightning.sweep.job import end_of_sweep

        sweep = SweepFolder(Path(config.hydra.sweep.dir).resolve())
        if not keeps_nothing(config):
            end_of_sweep(sweep, user_folder(config.paths.user_dir))
        elif failed := [job for job in sweep.jobs() if job.is_unfinished]:
            sys.exit("error: " + "; ".join(f"job {job.job}: {job.error}" for job in failed))


def keeps_nothing(config: DictConfig) -> bool:
    """Whether the sweep only prints, and its folder goes with it."""
    return bool(config.dry_run) or config.get("text") is not None


def begin_sweep(sweep: SweepFolder, config: DictConfig) -> None:
    """Check a sweep, take its folder, and write sweep.json.

    Raises:
        InputError: a swept key does not exist, the storage holds another study, or the folder or
            one of a job's is taken.
    """
    from lora_lightning.sweep.plan import make_plan, sweep_overrides
    from lora_lightning.sweep.ray_cluster import RAY, connect
    from lora_lightning.sweep.space import SEARCHES, Space
    from lora_lightning.sweep.study import (
        check_pruner,
        check_study,
        open_study,
        readable,
        storage_of,
    )

    plan = make_plan(config)
    if plan.launcher == RAY:
        connect(config)
    has_study = plan.sweeper in SEARCHES
    check_pruner(config, has_study, plan.axes)
    if has_study:
        space = Space.of(config, sweep_overrides(config))
        check_study(config, space)
    take_folder(sweep, plan, config.overwrite)
    try:
        if has_study:
            with readable(storage_of(config)):
                open_study(config, space)
    except InputError:
        release_folder(sweep)
        raise
    sweep.write_plan(plan)


def take_folder(sweep: SweepFolder, plan: Plan, overwrite: bool) -> None:
    """Make the sweep's folder this sweep's alone.

    Raises:
        InputError: a sweep, or a folder of a job to be, is there already.
    """
    if overwrite or plan.command != "train":
        for record in [*sweep.path.glob(f"**/{JOB}"), *sweep.path.glob(f"**/{ERROR}")]:
            record.unlink()
        for name in (PLAN, TABLE, IN_SWEEP_FOLDER):
            (sweep.path / name).unlink(missing_ok=True)
    else:
        for job in plan.jobs or map(str, range(plan.trials or 0)):
            if (sweep.path / job).exists():
                raise InputError(
                    f"{sweep.path / job}: a folder of job {job} exists already; give the sweep "
                    "another output_dir=…, or replace what is there with overwrite=true"
                )
    sweep.path.mkdir(parents=True, exist_ok=True)
    try:
        (sweep.path / PLAN).open("x").close()
    except FileExistsError:
        resume = command_line("-m", "lora_lightning.sweep", "resume", str(sweep.path))
        raise InputError(
            f"{sweep.path} holds another sweep ({PLAN}); give this one another output_dir=…, or "
            f"go on with that one: {resume}"
        ) from None


def release_folder(sweep: SweepFolder) -> None:
    """Leave the folder of a sweep in which no job began to others."""
    for name in (PLAN, "multirun.yaml", IN_SWEEP_FOLDER):
        (sweep.path / name).unlink(missing_ok=True)
