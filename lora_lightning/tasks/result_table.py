"""What a training came to: the table that its terminal and its log end with."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from omegaconf import DictConfig

from lora_lightning.config.study import direction_of
from lora_lightning.files import folder_size, near_path
from lora_lightning.runs.folder import RunFolder
from lora_lightning.runs.stored_results import Record, read_record, read_scores
from lora_lightning.tracking.csv_tables import Row, read_losses
from lora_lightning.tracking.loss_figure import best_validation, unsmoothed

NEAR_0 = 0.2  # nats a token; what dropout leaves of eight rows that are known by heart is below
PARTIAL = " (partial)"
VIEWERS = {
    "*.json": "open it at https://ui.perfetto.dev or in chrome://tracing",
    "*.txt": "a table of times, to read as it is",
}


def result_table(run: RunFolder, config: DictConfig) -> str:
    """Return the result of a run that has ended, from what its folder holds.

    Args:
        run: its folder.
        config: what it was run with.
    """
    rows = read_losses(run.path)
    record = read_record(run.path / "run.json")
    lines = [
        *loss_lines(rows, config.trainer.limit_val_batches),
        *best_line(rows, config.best_by),
        *(score_lines(run.path, config.split) if "evaluate" in config.then else []),
        *effort_lines(record),
        ("adapter", f"{folder_size(run.path / 'adapter') / 1e6:,.2f} MB"),
        ("picture", near_path(run.path / "loss.png")),
    ]
    return "\n".join(["result", *(f"  {name:<18}{text}" for name, text in lines)])


def loss_lines(rows: list[Row], limit: float | None) -> Iterator[tuple[str, str]]:
    """Yield the last and the best validation loss, and the last training losses.

    Args:
        rows: as `read_losses` gives them.
        limit: `trainer.limit_val_batches`.
    """
    best = best_validation(rows)
    if best is None:
        yield "val/loss", "none: the run had no validation"
    else:
        last = [row for row in rows if "val/loss" in row][-1]
        is_partial = limit not in (None, 1.0)
        found = f"best {best['val/loss']:.4f} after update {best['step']:.0f}"
        mark = PARTIAL if is_partial else ""
        yield "val/loss", f"last {last['val/loss']:.4f}, {found}{mark}"
        if is_partial:
            yield "", f"partial: trainer.limit_val_batches={limit}"
    if trained := [row for row in rows if "train/loss" in row]:
        smoothed, plain = trained[-1]["train/loss"], unsmoothed(trained[-1])
        note = "" if smoothed == plain else f", without label smoothing {plain:.4f}"
        yield "train/loss", f"last {smoothed:.4f}{note}"


def best_line(rows: list[Row], best_by: str) -> Iterator[tuple[str, str]]:
    """Yield the last and the best value of what decides the best, where that is not `val/loss`."""
    validated = [row for row in rows if best_by in row]
    if best_by == "val/loss" or not validated:
        return
    choose = min if direction_of(best_by) == "minimize" else max
    best = choose(validated, key=lambda row: row[best_by])
    last = validated[-1][best_by]
    yield best_by, f"last {last:.4f}, best {best[best_by]:.4f} after update {best['step']:.0f}"


def score_lines(folder: Path, split: str) -> Iterator[tuple[str, str]]:
    """Yield each score of a run's evaluation, on the official scorer's own scale."""
    content = read_scores(folder / "evaluation" / split / "metrics.json")
    mark = PARTIAL if content.partial else ""
    for metric, value in content.scores.items():
        yield f"{split}/{metric}", "not computed" if value is None else f"{value:.4f}{mark}"
    if content.partial:
        yield "", f"partial: {content.partial}"


def effort_lines(record: Record) -> Iterator[tuple[str, str]]:
    """Yield how much was done, in which time and how fast."""
    if record.updates is not None:
        yield "updates", f"{record.updates:,}"
    if record.seconds is not None:
        yield "time", str(timedelta(seconds=round(record.seconds)))
    speed = record.throughput.tokens_per_second
    yield "tokens/s", "not measured: too few updates" if speed is None else f"{speed:,.0f}"


def overfit_verdict(rows: list[Row]) -> str:
    """Return whether a few rows over and over brought the loss near 0, as they must.

    Args:
        rows: as `read_losses` gives them.
    """
    losses = [unsmoothed(row) for row in rows if "train/loss" in row]
    if not losses:
        return "no verdict: no update was logged; lower trainer.log_every_n_steps"
    found = f"train/loss {losses[0]:.4f} → {losses[-1]:.4f}"
    if losses[-1] < NEAR_0:
        return f"passed: {found}, near 0: what is trained can learn"
    return (
        f"FAILED: {found}, not below {NEAR_0}: train longer (trainer.max_epochs=…) or at another "
        "rate (optimizer.lr=…); if it stays, look at method.targets, the loss and the rows"
    )


def profile_lines(folder: Path) -> Iterator[str]:
    """Yield where each file of a profiler lies, and how it is read."""
    for pattern, how in VIEWERS.items():
        for file in sorted(folder.glob(pattern)):
            yield f"{near_path(file)}: {how}"
