"""Look at a sweep, draw it, or run again what did not finish.

    python -m lora_lightning.sweep show <folder>
    python -m lora_lightning.sweep plot <folder>
    python -m lora_lightning.sweep resume <folder> [hydra.launcher.n_jobs=2 …]

show: the table, and mean ± std over seeds · plot: PNG files and one self-contained page,
sweep.html · resume: failed, killed and missing jobs again, each in its own folder, the others left
alone; further arguments are the launcher's (hydra/launcher=…, hydra.launcher.…) or
on_job_failure=skip|raise.
"""

import sys

from lora_lightning.errors import InputError
from lora_lightning.program import run_program
from lora_lightning.sweep.record import SweepFolder

ACTIONS = ("show", "plot", "resume")


def sweep(arguments: list[str]) -> int:
    """Do what the arguments say, and return the exit code.

    Raises:
        InputError: an argument is wrong, or the folder holds no sweep.
    """
    action, *rest = arguments
    if action not in ACTIONS:
        raise InputError(f"{action}: allowed is {' | '.join(ACTIONS)}; see --help")
    if not rest:
        raise InputError(f"{action} needs the folder of a sweep")
    folder = SweepFolder.open(rest[0])
    if action == "resume":
        from lora_lightning.sweep.resume import resume_sweep

        return resume_sweep(folder, rest[1:])
    if rest[1:]:
        raise InputError(f"{action} takes the folder alone, not {' '.join(rest[1:])}")
    if action == "show":
        from lora_lightning.sweep.show import show_sweep

        show_sweep(folder)
    else:
        from lora_lightning.sweep.page import write_page

        sys.stdout.write(f"{write_page(folder)}\n")
    return 0


if __name__ == "__main__":
    run_program(sweep, __doc__)
