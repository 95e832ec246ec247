"""Show what was published on E2E, WebNLG and DART with GPT-2.

    python -m lora_lightning.paper show
    python -m lora_lightning.paper show dataset=e2e model=gpt2_medium
    python -m lora_lightning.paper show dataset=webnlg method=lora --json

One row a printed row: who published it, what was trained, and whether that paper ran it (own), took
it from another (copied), or is LoRA run again by others than its authors (rerun). Keys to choose
by: dataset=e2e|webnlg|dart, model, method. With --json one line with every field of every row.
"""

import difflib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from lora_lightning.errors import InputError, ProgramArguments
from lora_lightning.paper.rows import DATASETS, PublishedRow, papers, published_rows
from lora_lightning.process.program import as_program
from lora_lightning.process.programs import as_started
from lora_lightning.process.terminal import terminal_width

KEYS = ("dataset", "model", "method")


def main(arguments: list[str] | None = None) -> None:
    """Print the rows that the arguments choose.

    Args:
        arguments: of the program; None takes this process's.

    Raises:
        InputError: an argument is wrong.
    """
    parser = ProgramArguments(as_started(__doc__ or ""))
    show = parser.add_subparsers(dest="action", required=True).add_parser("show")
    show.add_argument("choices", nargs="*", help="dataset=… model=… method=…")
    show.add_argument("--json", action="store_true", help="one line of JSON")
    given = parser.parse_args(arguments)
    rows = chosen_rows(given.choices)
    if given.json:
        record = {"papers": {key: asdict(paper) for key, paper in papers().items()},
                  "rows": [asdict(row) for row in rows]}  # fmt: skip
        sys.stdout.write(json.dumps(record, ensure_ascii=False) + "\n")
    else:
        print_rows(rows)


def chosen_rows(arguments: Sequence[str]) -> list[PublishedRow]:
    """Return the rows that `key=value` arguments choose; all of them without one.

    Raises:
        InputError: a key is unknown, or no row has a value.
    """
    rows = [row for dataset in DATASETS for row in published_rows(dataset)]
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if key not in KEYS or not equals:
            raise InputError(f"{argument}: unknown; the keys are {', '.join(KEYS)}, as {KEYS[0]}=…")
        known = list(dict.fromkeys(str(getattr(row, key)) for row in rows))
        rows = [row for row in rows if getattr(row, key) == value]
        if not rows:
            nearest = difflib.get_close_matches(value, known, n=1)
            meant = f"the nearest is {nearest[0]}; " if nearest else ""
            raise InputError(f"{argument}: no published row has it; {meant}known: {_list(known)}")
    return rows


def _list(names: list[str]) -> str:
    return ", ".join(sorted(name for name in names if name != "None"))


def print_rows(rows: list[PublishedRow]) -> None:
    """Print a table for each data set and model."""
    from rich.console import Console

    from lora_lightning.paper.table import rendered, table_of

    console = Console(width=terminal_width())
    for dataset, model in dict.fromkeys((row.dataset, row.model) for row in rows):
        part = [row for row in rows if (row.dataset, row.model) == (dataset, model)]
        title = f"{dataset}, {model or 'a GPT-2 of unknown size'}"
        console.print(rendered(title, table_of(part).fitting(console.width)))


if __name__ == "__main__":
    with as_program():
        main()
