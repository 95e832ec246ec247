"""Is the difference between systems more than chance, over sentences and over seeds?

    python -m lora_lightning.compare outputs/train/a outputs/train/b
    python -m lora_lightning.compare outputs/sweep
    python -m lora_lightning.compare a.txt b.txt references=references.txt protocol=e2e

Each name is a run, latest, a folder that evaluate.py wrote, a sweep (a system for each setting, its
seeds together), or a file of hypotheses. Printed are all metrics, mean ± std over seeds, and for
each pair the difference (second - first), its 95 % interval, and p by paired bootstrap and by
approximate randomisation, with Holm's correction from three systems on; docs/compare.md says what
they mean. comparison.json and comparison.html go into output=<folder>, by default below
outputs/compare.

Keys: resamples=10000, seed=0, output, overwrite=false, paths.output_dir; of files of hypotheses
references=<file> or [reference0,…] and protocol=e2e|webnlg|dart. --json: the record as one line.
"""

import json
import os
import sys
from datetime import datetime
from os.path import expanduser
from pathlib import Path
from typing import Any

from rich.console import Console

from lora_lightning.cli.environment import load_environment
from lora_lightning.compare.evaluated import PROTOCOLS
from lora_lightning.compare.page import PAGE, write_page
from lora_lightning.compare.report import Report, compare_systems
from lora_lightning.compare.systems import Sources, read_systems
from lora_lightning.compare.table import tables
from lora_lightning.config.typed import as_given, is_true, parsed, text_of
from lora_lightning.errors import InputError, ProgramArguments, presentable
from lora_lightning.files import near_path, write_json
from lora_lightning.process import workspace
from lora_lightning.process.program import as_program
from lora_lightning.process.programs import as_started
from lora_lightning.runs.latest import outputs_folder

RECORD = "comparison.json"
KEYS = ("resamples", "seed", "output", "overwrite", "references", "protocol")
FEWEST, MOST = (
    100,
    1_000_000,
)  # samples: fewer say nothing, more take more memory than they are worth
LARGEST_SEED = 2**32 - 1
NO_TERMINAL = 500  # columns, where nobody says how many there are: nothing is cut


def compare(arguments: list[str] | None = None) -> int:
    """Do what the arguments say, and return the exit code.

    Args:
        arguments: of the program; None takes this process's.

    Raises:
        InputError: an argument is wrong, or what it names cannot be compared.
    """
    parser = ProgramArguments(as_started(__doc__))
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    parser.add_argument("given", nargs="+", metavar="A B … key=value")
    options = parser.parse_intermixed_args(arguments)
    load_environment(workspace() / ".env")
    names, keys, places = _divided(options.given)
    resamples = _whole_number("resamples", keys.get("resamples", "10000"), FEWEST, MOST)
    seed = _whole_number("seed", keys.get("seed", "0"), 0, LARGEST_SEED)
    protocol = keys.get("protocol")
    if protocol is not None and protocol not in PROTOCOLS:
        raise InputError(f"protocol={protocol}: allowed is {' | '.join(PROTOCOLS)}")
    folder = _output(keys, places)
    sources = Sources(_say, _files(keys.get("references")), protocol, places)
    report = compare_systems(read_systems(names, sources), resamples, seed)
    write_page(report, folder)
    write_json(folder / RECORD, report.record())
    _print(report, folder, options.json)
    return 0


def _divided(given: list[str]) -> tuple[list[str], dict[str, str], list[str]]:
    """Return what names systems, the values of the keys, and overrides that say where runs lie."""
    names: list[str] = []
    keys: dict[str, str] = {}
    places: list[str] = []
    for argument in given:
        key, equals, value = argument.partition("=")
        if not equals or Path(expanduser(argument)).exists():
            names.append(argument)
        elif key.startswith("paths."):
            places.append(as_given(argument))
        elif key in KEYS:
            keys[key] = value if key == "references" else text_of(value)
        else:
            raise InputError(f"{argument}: no such folder, and no key; the keys are "
                             f"{', '.join(KEYS)}, paths.output_dir")  # fmt: skip
    if not names:
        raise InputError("name the systems to compare; see --help")
    return names, keys, places


def _whole_number(key: str, text: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdigit()) or not least <= int(text) <= most:
        raise InputError(f"{key}={text}: a whole number from {least} to {most} is expected")
    return int(text)


def _files(references: str | None) -> list[Path]:
    """Return the files that `references=` names: one, or a list in brackets."""
    if references is None:
        return []
    value: Any = references
    if references.startswith("["):
        value = parsed(f"references={references}")
    return [
        Path(expanduser(str(p))) for p in (value if isinstance(value, list) else [text_of(value)])
    ]


def _output(keys: dict[str, str], places: list[str]) -> Path:
    """Return the folder of the results.

    Raises:
        InputError: it holds a comparison.
    """
    overwrite = is_true("overwrite", keys.get("overwrite", "false"))
    if "output" not in keys:
        now = datetime.now().strftime("%Y-%m-%d_%H-%M-%S-%f")
        return outputs_folder("evaluate", places) / "compare" / now
    folder = Path(expanduser(keys["output"]))
    if folder.exists() and not folder.is_dir():
        raise InputError(f"output={folder}: is a file; give a folder")
    if not overwrite and any((folder / name).exists() for name in (RECORD, PAGE)):
        raise InputError(f"output={folder}: holds a comparison; give another folder, or "
                         "overwrite=true")  # fmt: skip
    return folder


def _say(line: str) -> None:
    sys.stderr.write(f"{presentable(line)}\n")


def _print(report: Report, folder: Path, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(report.record(), ensure_ascii=False) + "\n")
        return
    knows_width = sys.stdout.isatty() or "COLUMNS" in os.environ
    console = Console(width=None if knows_width else NO_TERMINAL)
    for table in tables(report):
        console.print(table)
    for note in report.notes:
        console.print(presentable(note), markup=False, highlight=False, soft_wrap=True)
    for name in (RECORD, PAGE):
        sys.stdout.write(f"{near_path(folder / name)}\n")


if __name__ == "__main__":
    with as_program():
        sys.exit(compare())
