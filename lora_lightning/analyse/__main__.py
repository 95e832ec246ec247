"""Take a run's adapter apart: what the LoRA paper's section 7 asks of an update.

    python -m lora_lightning.analyse run=latest
    python -m lora_lightning.analyse run=<folder> against=<folder of another seed or rank>

For every adapted slice: the singular values of ΔW; how far ΔW amplifies its directions in W
(section 7.3); beside a second run, the similarity of their subspaces (section 7.2). For the whole
adapter: its validation loss when cut to each rank, without training. Writes analysis.json and
figures, and prints a summary. docs/analysis.md has the formulas.
Keys: run, against, checkpoint=last|best, rows=512 (of the validation set, for the curve; 0: none),
output=<folder> (default: analysis/ of the run), trust=false (true: take any class that the config
names), paths.output_dir (where latest looks).
"""

import logging
import sys
from os.path import expanduser
from pathlib import Path
from typing import Any

from transformers import GPT2LMHeadModel

from lora_lightning.analyse.record import SliceRecord, slice_records
from lora_lightning.analyse.truncation import Point, truncation_curve
from lora_lightning.analyse.updates import SliceUpdate, slice_updates
from lora_lightning.cli.environment import load_environment
from lora_lightning.cli.program import given_values, run_program
from lora_lightning.config.build import build
from lora_lightning.config.typed import is_true
from lora_lightning.data.batches import Batches
from lora_lightning.errors import InputError
from lora_lightning.files import write_json
from lora_lightning.methods.inject import unmerge_adapters
from lora_lightning.process import workspace
from lora_lightning.process.programs import as_started
from lora_lightning.runs.folder import RunFolder
from lora_lightning.runs.latest import named_run
from lora_lightning.runs.stored_config import RESOLVED, named_in_errors
from lora_lightning.tasks.model import adapters_of_run, load_model, tokenizer_of

KEYS: dict[str, Any] = {"run": None, "against": None, "checkpoint": "last", "rows": "512",
                        "output": None, "trust": "false"}  # fmt: skip
FILE = "analysis.json"


def analyse(arguments: list[str]) -> None:
    """Analyse as `key=value` arguments say.

    Raises:
        InputError: a key or value is wrong, or a run has nothing to analyse.
    """
    keys, overrides = given_values(arguments, KEYS, "paths.")
    if keys["run"] is None:
        raise InputError("run=<folder or latest> is needed; see --help")
    if not keys["rows"].isdecimal():
        raise InputError(f"rows={keys['rows']}: give how many rows of the validation set, or 0")
    trust, checkpoint = is_true("trust", keys["trust"]), keys["checkpoint"]
    run = opened(keys["run"], overrides, trust)
    model = model_of(run, checkpoint)
    others = None
    if keys["against"] is not None:
        other = opened(keys["against"], overrides, trust)
        if other.path == run.path:
            raise InputError("against=… is run=… itself; give another run, or leave it out")
        others = {update.name: update for update in slice_updates(model_of(other, checkpoint))}
    updates: list[SliceUpdate] = slice_updates(model)
    records = slice_records(updates, others)
    points = curve(run, model, int(keys["rows"]))
    folder = run.path / "analysis" if keys["output"] is None else Path(expanduser(keys["output"]))
    write(records, points, folder, keys["run"], keys["against"])


def opened(name: str, overrides: list[str], trust: bool) -> RunFolder:
    """Return a run, checked.

    Raises:
        InputError: there is none, or its config names a class that is not allowed.
    """
    run = named_run(name, overrides)
    run.check_alone(trust)
    return run


def model_of(run: RunFolder, checkpoint: str) -> GPT2LMHeadModel:
    """Return a run's model, its adapter not merged."""
    config = run.resolved_config
    with named_in_errors(run.path / RESOLVED):
        method = build(config.method)
        adapters = adapters_of_run(run, checkpoint)
        return load_model(config.model, method, tokenizer_of(config.model), adapters)


def curve(run: RunFolder, model: GPT2LMHeadModel, rows: int) -> list[Point]:
    """Return the truncation curve on the first rows of the run's validation set.

    Raises:
        InputError: the data is missing or wrong.
    """
    config = run.resolved_config
    if rows == 0:
        return []
    kept = {"limit_valid": min(rows, config.data.get("limit_valid") or rows), "round_up": "none"}
    with named_in_errors(run.path / RESOLVED):
        data = Batches(build(config.data, **kept), tokenizer_of(config.model), config.seed)
    if not data.rows.has_validation:
        return []
    unmerge_adapters(model)
    return truncation_curve(model, list(data.val_dataloader()))


def write(
    records: list[SliceRecord], points: list[Point], folder: Path, run: str, against: str | None
) -> None:
    """Write everything into `folder`, and print a summary."""
    from lora_lightning.analyse.figures import draw
    from lora_lightning.analyse.summary import print_summary

    folder.mkdir(parents=True, exist_ok=True)
    truncation = [{"rank": p.rank, "loss_per_token": p.loss_per_token} for p in points]
    content = {"run": run, "against": against, "slices": [r.content() for r in records]}
    write_json(folder / FILE, {**content, "truncation": truncation})
    figures = draw(records, points, folder, None if against is None else Path(against).name)
    print_summary(records, points)
    for path in (folder / FILE, *figures):
        sys.stdout.write(f"{path}\n")


def main(arguments: list[str]) -> None:
    """Analyse, with the settings of `.env`."""
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    load_environment(workspace() / ".env")
    analyse(arguments)


if __name__ == "__main__":
    run_program(main, as_started(__doc__ or ""))
