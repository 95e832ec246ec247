"""One command for every program: `lora-lightning train …`."""

import difflib
import os
import runpy
import sys
from pathlib import Path

from lora_lightning.process import REPOSITORY
from lora_lightning.process.programs import COMMAND, PROGRAMS, STARTED_AS


def main() -> None:
    """Run the program that the first argument names, as if Python had been started on it."""
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in ("--help", "-h"):
        sys.stdout.write(overview())
        return
    if name not in PROGRAMS:
        nearest = difflib.get_close_matches(name, PROGRAMS, n=1)
        meant = f"the nearest is {nearest[0]}; " if nearest else ""
        sys.exit(f"error: {name}: no such program; {meant}{COMMAND} --help lists them")
    is_module = Path(sys.argv[0]).name == Path(__file__).name
    os.environ[STARTED_AS] = "python -m lora_lightning" if is_module else COMMAND
    target = PROGRAMS[name][0]
    if target.endswith(".py"):
        script = str(REPOSITORY / target)
        sys.argv = [script, *arguments]
        runpy.run_path(script, run_name="__main__")
    else:
        sys.argv = [name, *arguments]
        runpy.run_module(target, run_name="__main__", alter_sys=True)


def overview() -> str:
    """Return the help: a line a program."""
    lines = [f"  {name:<18}{does}" for name, (_, does) in PROGRAMS.items()]
    return "\n".join(
        [
            f"{COMMAND} <program> …, or python -m lora_lightning <program> …\n",
            *lines,
            f"\n{COMMAND} <program> --help says more. A first run: {COMMAND} demo\n",
        ]
    )


if __name__ == "__main__":
    main()
