"""Look at a sweep, draw it, or run again what did not finish.

    python -m lora_lightning.sweep show <folder or latest> [--wide | --json]
    python -m lora_lightning.sweep plot <folder>
    python -m lora_lightning.sweep resume <folder> [hydra.launcher.n_jobs=2 …] [promote=best]

show: the table, the best job first, and mean ± std over seeds: 100 rows at most and as many columns
as the terminal has room for, with --wide all, with --json one line of JSON · plot: PNG files and
one self-contained page, sweep.html · resume: failed, killed and missing jobs again, each in its own
folder, the others left alone; with promote=<job>,…|best|all pruned jobs go on to their end; further
arguments are the launcher's (hydra/launcher=…, hydra.launcher.…), on_job_failure=skip|raise, or
trust=true, which takes classes and programs that the folder names whoever wrote it. All take
latest, the sweep that began last, and paths.output_dir=…, where it is looked for.
"""

import sys

from lora_lightning.config.search_path import own_configs
from lora_lightning.config.typed import as_given
from lora_lightning.errors import InputError, ProgramArguments
from lora_lightning.process.program import as_program
from lora_lightning.process.programs import as_started
from lora_lightning.sweep.record import SweepFolder

ACTIONS = ("show", "plot", "resume")


def sweep(arguments: list[str] | None = None) -> int:
    """Do what the arguments say, and return the exit code.

    Args:
        arguments: of the program; None takes this process's.

    Raises:
        InputError: an argument is wrong, or the folder holds no sweep.
    """
    parser = ProgramArguments(as_started(__doc__))
    actions = parser.add_subparsers(dest="action", required=True)
    parsers = {action: actions.add_parser(action) for action in ACTIONS}
    for parser_of_action in parsers.values():
        parser_of_action.add_argument("folder", help="of the sweep, or latest")
        parser_of_action.add_argument(
            "settings", nargs="*", help="paths.output_dir=…; of resume the launcher's, too"
        )
    form = parsers["show"].add_mutually_exclusive_group()
    form.add_argument("--wide", action="store_true", help="every column")
    form.add_argument("--json", action="store_true", help="one line of JSON")
    parsers["resume"].add_argument("--config-dir", help="of your own configs, as the sweep had it")
    given = parser.parse_args(arguments)
    settings = [setting for setting in given.settings if not setting.startswith("paths.")]
    places = [as_given(setting) for setting in given.settings if setting not in settings]
    if settings and given.action != "resume":
        raise InputError(f"{settings[0]}: {given.action} takes paths.output_dir=… alone")
    folder = SweepFolder.named(given.folder, places)
    if given.action == "resume":
        from lora_lightning.sweep.resume import resume_sweep

        with own_configs([] if given.config_dir is None else [f"--config-dir={given.config_dir}"]):
            return resume_sweep(folder, settings)
    if given.action == "show":
        from lora_lightning.sweep.show import print_json, show_sweep

        if given.json:
            print_json(folder)
        else:
            show_sweep(folder, given.wide)
    else:
        from lora_lightning.sweep.page import write_page

        sys.stdout.write(f"{write_page(folder)}\n")
    return 0


if __name__ == "__main__":
    with as_program():
        sys.exit(sweep())
