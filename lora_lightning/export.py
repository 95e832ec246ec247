"""Write a run's adapter in another format.

    python -m lora_lightning.export run=latest format=peft output=adapter
    python -m lora_lightning.export run=latest format=loralib output=adapter.pt
    python -m lora_lightning.export run=latest format=merged output=gpt2_adapted

peft: the PEFT folder · loralib: the reference's adapter-only .pt · merged: a Hugging Face folder
of the whole model. Keys: run, checkpoint=last|best, format, output, overwrite=false,
model.path=<where the base lies now>, trust=false (true: take any class that the config names),
paths.output_dir (where latest looks), paths.user_dir (where the user's own modules lie).
"""

import shutil
import sys
from os.path import expanduser
from pathlib import Path
from typing import Any

from lora_lightning.cli.environment import load_environment
from lora_lightning.cli.program import given_values, run_program
from lora_lightning.config.build import build
from lora_lightning.config.typed import is_true, text_of
from lora_lightning.errors import InputError
from lora_lightning.gpt2.hub import base_folder
from lora_lightning.methods.exports import export_loralib, export_merged, export_peft
from lora_lightning.process import workspace
from lora_lightning.process.programs import as_started
from lora_lightning.runs.folder import RunFolder
from lora_lightning.runs.latest import named_run
from lora_lightning.runs.stored_config import RESOLVED, named_in_errors
from lora_lightning.tasks.model import adapters_of_run, load_model, tokenizer_of

KEYS: dict[str, Any] = {"run": None, "checkpoint": "last", "format": "peft", "output": None,
                        "overwrite": "false", "model.path": None, "trust": "false"}  # fmt: skip
FORMATS = ("peft", "loralib", "merged")


def export(arguments: list[str]) -> Path:
    """Export as `key=value` arguments say, and return the path that was written.

    Raises:
        InputError: a key or value is wrong, or `output` exists.
    """
    keys, overrides = given_values(arguments, KEYS, "paths.")
    if {keys["run"], keys["output"]} & {None, "null"}:
        raise InputError("run=<folder or latest> and output=<path> are needed; see --help")
    if keys["format"] not in FORMATS:
        raise InputError(f"format={keys['format']}: allowed is {' | '.join(FORMATS)}")
    output = Path(expanduser(keys["output"]))
    if output.exists() and not is_true("overwrite", keys["overwrite"]):
        raise InputError(f"output={output} exists; give another path, or overwrite=true")
    run = named_run(keys["run"], overrides)
    user_dir = dict(o.split("=", 1) for o in overrides).get("paths.user_dir")
    run.check_alone(
        is_true("trust", keys["trust"]), None if user_dir is None else text_of(user_dir)
    )
    write(run, keys["checkpoint"], keys["format"], output, keys["model.path"])
    return output


def write(
    run: RunFolder, checkpoint: str, format: str, output: Path, base: str | None = None
) -> None:
    """Load a run's model, on a base that may have moved, and write it to `output`."""
    config = run.with_base(base)
    with named_in_errors(run.path / RESOLVED):
        method = build(config.method)
        adapters = adapters_of_run(run, checkpoint)
        model = load_model(config.model, method, tokenizer_of(config.model), adapters)
    if format == "peft":
        export_peft(model, method, output, config.model.path)
    elif format == "loralib":
        export_loralib(model, output, config.method.get("bias", "none"))
    else:
        export_merged(model, output)
        copy_tokenizer(base_folder(config.model.tokenizer, "model.tokenizer"), output)


def copy_tokenizer(source: Path, target: Path) -> None:
    """Copy the tokenizer's files, so that the exported folder stands alone."""
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt"):
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)


def main(arguments: list[str]) -> None:
    """Export, with the settings of `.env`, and print the path that was written."""
    load_environment(workspace() / ".env")
    sys.stdout.write(f"{export(arguments)}\n")


if __name__ == "__main__":
    run_program(main, as_started(__doc__ or ""))
