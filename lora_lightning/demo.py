"""From the bundled base to an adapted model, with a score before and after.

    python -m lora_lightning.demo

Decodes the test contexts of the E2E sample with the bare base, adapts the base with LoRA, decodes
again, and prints the scores side by side. Everything that it writes lies below outputs/.
"""

import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from lora_lightning.errors import ProgramArguments
from lora_lightning.files import read_json
from lora_lightning.process import now, workspace
from lora_lightning.process.children import show_child
from lora_lightning.process.program import as_program
from lora_lightning.process.programs import as_started


def main() -> None:
    """Run the three commands as a user would, and print the table."""
    ProgramArguments(as_started(__doc__)).parse_args()
    name = now()
    # Below the folder that the commands run in: its own path may hold what Hydra would not take.
    before = f"outputs/generate/demo_{name}"
    scores_before = f"outputs/evaluate/demo_{name}"
    run = f"outputs/train/demo_{name}"
    for command in (
        ("generate.py", f"output_dir={before}"),
        ("evaluate.py", f"predictions={before}/predictions.jsonl", f"output_dir={scores_before}"),
        ("train.py", "experiment=quickstart", "then=[generate,evaluate]", f"output_dir={run}"),
    ):
        show_child(*command)
    folder = workspace()
    scores = folder / run / "evaluation" / "test" / "metrics.json"
    print_table(folder / scores_before / "metrics.json", scores)
    sys.stdout.write(f"run folder: {folder / run}\n")
    show_child("-m", "lora_lightning.report", f"run={run}")


def print_table(before: Path, after: Path) -> None:
    """Print each metric before and after the adaptation."""
    old, new = (read_json(path)["scores"] for path in (before, after))
    table = Table("metric", "before", "after", title="E2E sample, test contexts")
    for metric in new:
        cells = (
            "-" if scores[metric] is None else f"{scores[metric]:.4f}" for scores in (old, new)
        )
        table.add_row(metric, *cells)
    Console().print(table)


if __name__ == "__main__":
    with as_program():
        main()
