"""Launching the jobs of a sweep: those that can share their base in one pass, others in turn."""

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from hydra.core.utils import JobReturn, configure_log, filter_overrides, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from lora_lightning.errors import InputError
from lora_lightning.one_pass.again import meet, own_overrides
from lora_lightning.one_pass.engine import Pass
from lora_lightning.one_pass.processes import Orders, connected_ranks
from lora_lightning.one_pass.sharing import groups_of, obstacle
from lora_lightning.ranges import Bytes, Count, check
from lora_lightning.sweep.callback import release_folder
from lora_lightning.sweep.launched import compose_job, run_composed
from lora_lightning.sweep.record import SweepFolder

log = logging.getLogger(__name__)
KEYS = {"max_jobs_at_once": Count | None, "memory": Bytes | None, "strict": bool}


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
        InputError: a key of `hydra.launcher` is wrong, or under `strict` a job shares nothing.
    """
    given = config.hydra.launcher
    setup_globals()
    configure_log(config.hydra.hydra_logging, config.hydra.verbose)
    Path(str(config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
    try:
        for key, kind in KEYS.items():
            check(f"hydra.launcher.{key}", given[key], kind)
        jobs = [
            compose_job(context, config, own_overrides(config, of_job), first + number)
            for number, of_job in enumerate(overrides)
        ]
        groups = groups_of(jobs)
        say_what_is_shared(jobs, groups, first, given.strict)
    except InputError:
        if first == 0:
            release_folder(SweepFolder(Path(str(config.hydra.sweep.dir)).resolve()))
        raise
    returned: dict[int, JobReturn] = {}
    for group in groups:
        for number in group:
            log.info("\t#%d : %s", first + number, " ".join(filter_overrides(overrides[number])))
        runs = [partial(run_composed, context, task, jobs[number]) for number in group]
        rounds = meet([Path(jobs[n].resume) for n in group if jobs[n].get("resume")])
        if len(group) == 1:
            results = [runs[0]()]
        else:
            at_once, memory = given.max_jobs_at_once, given.memory
            orders = Orders([jobs[number] for number in group], at_once, rounds, memory)
            with connected_ranks(orders):
                results = Pass(runs, at_once, rounds, memory).run()
        returned |= zip(group, results, strict=True)
        configure_log(config.hydra.hydra_logging, config.hydra.verbose)
    return [returned[number] for number in range(len(jobs))]


def say_what_is_shared(
    jobs: Sequence[DictConfig], groups: Sequence[Sequence[int]], first: int, strict: bool
) -> None:
    """Say which jobs go together, and why others do not.

    Raises:
        InputError: there are others, and `strict`.
    """
    alone = [group[0] for group in groups if len(group) == 1]
    reasons: dict[str, list[int]] = {}
    for number in alone:
        found = obstacle(jobs[number])
        if found is None and len(jobs) > 1:
            found = "no other job has its base, device, precision and gradient checkpointing"
        if found is not None:
            reasons.setdefault(found, []).append(first + number)
    said = "; ".join(f"{_listed(numbers)}: {reason}" for reason, numbers in reasons.items())
    if said and strict:
        raise InputError(
            f"hydra.launcher.strict=true: {said}; leave those out, or set "
            "hydra.launcher.strict=false to run them by themselves"
        )
    for group in groups:
        if len(group) > 1:
            log.info("one pass      %s share their base", _listed([first + n for n in group]))
    if said:
        log.warning("by themselves %s", said)


def _listed(numbers: Sequence[int]) -> str:
    """Return job numbers as a text; neighbours as a range."""
    if len(numbers) > 2 and list(numbers) == list(range(numbers[0], numbers[-1] + 1)):
        return f"jobs {numbers[0]} to {numbers[-1]}"
    return f"job{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"
