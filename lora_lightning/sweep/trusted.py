"""What a sweep's folder may decide when it is resumed, as others may have written it."""

from functools import partial
from pathlib import Path

from lora_lightning.config.search_path import config_dir_switch
from lora_lightning.config.stored_overrides import check_overrides
from lora_lightning.config.study import storage_file
from lora_lightning.config.trust import SWITCH, Trust, switch_for
from lora_lightning.config.typed import command_line
from lora_lightning.errors import InputError
from lora_lightning.files import require_links_within
from lora_lightning.sweep.record import PLAN, SweepFolder


def check_sweep(sweep: SweepFolder, trust: Trust) -> None:
    """Check that what others may have written decides nothing that it must not.

    Args:
        sweep: the folder.
        trust: whom this command trusts.

    Raises:
        InputError: an override names a class, program or file of configs that is not allowed, the
            study is not a file that exists, or a link leads out of the folder.
    """
    plan = sweep.plan
    check_overrides(plan.arguments, f"{sweep.path / PLAN}: arguments", trust)
    seen: set[str] = set()  # thousands of jobs have most of their overrides in common
    for job in sweep.jobs():
        new = [override for override in job.overrides if override not in seen]
        check_overrides(new, f"{sweep.path / job.job}: overrides", trust)
        seen.update(new)
    if trust.everything:
        return
    require_links_within(sweep.path, SWITCH)
    study = None if plan.storage is None else storage_file(plan.storage)
    if plan.storage is not None and (study is None or not study.is_file()):
        raise InputError(
            f"{sweep.path / PLAN}: storage={plan.storage} is no file of a study that exists; "
            f"{trust.otherwise}"
        )


def how_to_resume(sweep: SweepFolder, user_folder: Path) -> str:
    """Return the command that runs again what did not finish.

    Args:
        sweep: the folder.
        user_folder: where the user's own modules lie.
    """
    switch = switch_for(partial(check_sweep, sweep), user_folder)
    command = command_line("-m", "lora_lightning.sweep", "resume", str(sweep.path))
    return f"{command}{switch}{config_dir_switch()}"
