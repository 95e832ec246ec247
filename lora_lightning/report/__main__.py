"""Write a run's report: one page with its scores, curves, settings and every prediction.

    python -m lora_lightning.report run=latest
    python -m lora_lightning.report run=<folder> against=<another run> open=true

The page needs no other file and no network. Its path is printed last. With against= each prediction
stands beside the other run's, and the settings that differ are shown.
Keys: run, against, split=test, output=<file> (default: report.html of the run), open=false (true:
in the browser), trust=false (true: take any class that a config names), paths.output_dir (where
latest looks).
"""

import sys
import webbrowser
from os.path import expanduser
from pathlib import Path
from typing import Any

from lora_lightning.cli.environment import load_environment
from lora_lightning.cli.program import given_values, run_program
from lora_lightning.config.typed import is_true
from lora_lightning.errors import InputError
from lora_lightning.process import workspace
from lora_lightning.process.programs import as_started
from lora_lightning.report.page import write_report
from lora_lightning.report.scored import ScoredRun, check_comparable, read_scored
from lora_lightning.runs.latest import named_run

KEYS: dict[str, Any] = {"run": None, "against": None, "split": "test", "output": None,
                        "open": "false", "trust": "false"}  # fmt: skip
PAGE = "report.html"


def report(arguments: list[str]) -> Path:
    """Write the report that `key=value` arguments ask for, and return its path.

    Raises:
        InputError: a key or value is wrong, or a run has nothing to report.
    """
    keys, overrides = given_values(arguments, KEYS, "paths.")
    if keys["run"] is None:
        raise InputError("run=<folder or latest> is needed; see --help")

    def scored(name: str) -> ScoredRun:
        run = named_run(name, overrides)
        run.check_alone(is_true("trust", keys["trust"]))
        return read_scored(run, keys["split"])

    shown = scored(keys["run"])
    against = None if keys["against"] is None else scored(keys["against"])
    if against is not None:
        if against.run.path == shown.run.path:
            raise InputError("against=… is run=… itself; give another run, or leave it out")
        check_comparable(shown, against)
    output = keys["output"]
    file = shown.run.path / PAGE if output is None else Path(expanduser(output)).absolute()
    if file.is_dir():
        raise InputError(f"output={output}: is a folder; give a file, such as {file / PAGE}")
    write_report(shown, against, file)
    if is_true("open", keys["open"]):
        webbrowser.open(file.as_uri())
    return file


def main(arguments: list[str]) -> None:
    """Write the report, with the settings of `.env`, and print its path."""
    load_environment(workspace() / ".env")
    sys.stdout.write(f"{report(arguments)}\n")


if __name__ == "__main__":
    run_program(main, as_started(__doc__ or ""))
