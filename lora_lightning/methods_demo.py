"""Every method on the bundled sample: some updates each, decoded and scored, as one table.

    python -m lora_lightning.methods_demo

One process trains them one after another, with the same data, seed and rate, and prints for each:
trained parameters, validation loss, BLEU, tokens per second and peak memory. So few updates say
that a method works, not how good it is: python train.py hparams_search=methods compares.
"""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from lora_lightning.config.compose import CONFIGS
from lora_lightning.errors import ProgramArguments
from lora_lightning.process import now, workspace
from lora_lightning.process.children import show_child
from lora_lightning.process.program import as_program
from lora_lightning.process.programs import as_started
from lora_lightning.process.terminal import terminal_width
from lora_lightning.runs.stored_results import read_record
from lora_lightning.sweep.record import SweepFolder
from lora_lightning.sweep.table import Row, read_rows
from lora_lightning.tracking.csv_tables import read_metrics

PLACEHOLDERS = ("own", "peft")  # stand for a class, or a configuration, that is named besides
SETTINGS = (
    "experiment=quickstart", "trainer=cpu", "trainer.max_steps=40", "scheduler.warmup_steps=5",
    "trainer.limit_val_batches=20", "trainer.log_every_n_steps=10", "data.limit_test=20",
    "then=[generate,evaluate]", "protocol.metrics=[bleu]",
)  # fmt: skip


def main() -> None:
    """Train every method, and print the table."""
    ProgramArguments(as_started(__doc__)).parse_args()
    options = sorted(path.stem for path in (CONFIGS / "method").glob("*.yaml"))
    methods = ",".join(name for name in options if name not in PLACEHOLDERS)
    folder = f"outputs/train/methods_demo_{now()}"
    show_child("train.py", "-m", f"method={methods}", *SETTINGS, f"output_dir={folder}")
    print_table(SweepFolder.open(workspace() / folder))


def print_table(sweep: SweepFolder) -> None:
    """Print a row a method, in the order of their names."""
    table = Table(
        "method", "trained", "val/loss", "BLEU", "tokens/s", "peak memory",
        title="E2E sample, 40 updates a method",
    )  # fmt: skip
    for row in read_rows(sweep):
        table.add_row(*cells(row))
    Console(width=terminal_width()).print(table)


def cells(row: Row) -> list[str]:
    """Return the texts of one method's row; a failed one has its error."""
    if row["status"] != "finished":
        return [row["method"], row["status"], row["error"] or "", "", "", ""]
    folder = Path(row["folder"])
    speed = read_record(folder / "run.json").throughput.tokens_per_second
    rows = read_metrics(folder / "diagnostics.csv")
    peaks = [line["memory/peak_mb"] for line in rows if "memory/peak_mb" in line]
    return [
        row["method"],
        f"{row['trainable_parameters']:,}",
        f"{row['val/loss']:.4f}",
        f"{row['test/bleu']:.4f}",
        "-" if speed is None else f"{speed:,.0f}",
        f"{max(peaks):,.0f} MB" if peaks else "-",
    ]


if __name__ == "__main__":
    with as_program():
        main()
