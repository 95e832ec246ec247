"""Count what texts of E2E add to their meaning representations, leave out, or say wrong.

    python -m lora_lightning.slots input=texts.jsonl output=errors.jsonl
    python -m lora_lightning.slots input=texts.jsonl.gz output=errors.jsonl --json

input: a JSON object a line with mr (name[Zizzi], eatType[pub], or name : Zizzi | Type : pub) and
text, as it was written · output: the same lines in order, with added and missing (lists of
slot[value]) and wrong (slot[asked->said]). Printed are the totals, then those of each slot and of
each number of slots; with --json as one line. overwrite=true replaces the output. docs/slots.md has
the rules.
"""

import json
import sys
from os.path import expanduser
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from lora_lightning.cli.program import given_values, run_program
from lora_lightning.config.typed import is_true
from lora_lightning.data.records import field, read_records
from lora_lightning.errors import InputError
from lora_lightning.evaluation.slots.errors import (
    SlotErrors,
    by_number_of_slots,
    by_slot,
    slot_errors,
    totals,
)
from lora_lightning.evaluation.slots.meaning import NoMeaning
from lora_lightning.files import atomic_text
from lora_lightning.process.programs import as_started

KEYS: dict[str, Any] = {"input": None, "output": None, "overwrite": "false"}


def count_slot_errors(source: Path, target: Path) -> list[SlotErrors]:
    """Write the slot errors of a file's texts, a line each, and return them.

    Args:
        source: JSON lines with `mr` and `text`, plain or `.gz`.
        target: of the JSON lines with these and `added`, `missing` and `wrong`.

    Raises:
        InputError: a line is no such object, or its `mr` is no meaning representation; there is no
            line. Nothing is written then.
    """
    errors: list[SlotErrors] = []
    with atomic_text(target) as file:
        for place, record in read_records(source):
            given = {key: field(record, key, str, place) for key in ("mr", "text")}
            try:
                errors.append(slot_errors(given["mr"], given["text"]))
            except NoMeaning as error:
                raise InputError(f"{place}: mr: {error}") from None
            line = given | errors[-1].record()
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
        if not errors:
            raise InputError(f"{source}: holds no text; give a line with mr and text for each")
    return errors


def print_tables(errors: list[SlotErrors]) -> None:
    """Print the totals, a name and a number a line, then by slot and by number of slots."""
    for name, value in totals(errors).items():
        sys.stdout.write(f"{name:<30}{value:.6f}\n" if "rate" in name else f"{name:<30}{value}\n")
    kinds = ("slots", "added", "missing", "wrong")
    slots = Table("slot", *kinds)
    for slot, counts in by_slot(errors).items():
        slots.add_row(slot, *(str(counts[kind]) for kind in kinds))
    numbers = Table("slots", "texts", *kinds[1:], "error_rate")
    for number, part in by_number_of_slots(errors).items():
        shown = [str(part[kind]) for kind in ("sentences", *kinds[1:])]
        numbers.add_row(number, *shown, f"{part['error_rate']:.4f}")
    for table in (slots, numbers):
        Console().print(table)


def main(arguments: list[str]) -> None:
    """Count, write and print as the arguments say.

    Raises:
        InputError: a key or a line is wrong, or `output` exists.
    """
    prints_json = "--json" in arguments
    values, _ = given_values([one for one in arguments if one != "--json"], KEYS)
    if {values["input"], values["output"]} & {None, "null"}:
        raise InputError("input=<file> and output=<file> are needed; see --help")
    source, target = (Path(expanduser(values[key])) for key in ("input", "output"))
    if target.exists() and not is_true("overwrite", values["overwrite"]):
        raise InputError(f"output={target} exists; give another path, or overwrite=true")
    if target.exists() and target.samefile(source):
        raise InputError(f"output={target} is the input; give another path")
    errors = count_slot_errors(source, target)
    if prints_json:
        record = {
            "totals": totals(errors),
            "by_slot": by_slot(errors),
            "by_number_of_slots": by_number_of_slots(errors),
        }
        sys.stdout.write(json.dumps(record, ensure_ascii=False) + "\n")
    else:
        print_tables(errors)


if __name__ == "__main__":
    run_program(main, as_started(__doc__ or ""))
