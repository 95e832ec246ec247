"""Progress: a bar on a terminal, a plain line every few seconds elsewhere."""

import logging
import os
import sys
import time
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.trainer.states import TrainerFn
from tqdm import tqdm

log = logging.getLogger(__name__)
LOSS = "loss"
SMOOTHED = "smoothed"
DECODING = "decoding_seconds"  # of the texts of the last validation
OF_TEXTS = ("val/bleu", "val/nist", "val/ter")
SHOWN = {
    "val/loss": "val/loss",
    "val/bleu": "val/bleu",
    DECODING: "decoding s",
    "tokens/s": "tokens/s",
    "train/lr": "lr",
    "train/tokens_per_second": "tokens/s",
    "train/rows_per_second": "rows/s",
    "train/share_of_peak": "of peak",
}
NARROW = (LOSS, "val/loss")
WIDE = 110  # columns from which there is room for the rest
FORMAT = "{desc} {percentage:3.0f}%|{bar}| {remaining} left{postfix}"
WIDE_FORMAT = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}, {remaining} left{postfix}"


def progress_callback(every_n_seconds: float, shows_bar: bool | None = None) -> pl.Callback:
    """Return the progress display that was asked for, or that suits where the output goes.

    Args:
        every_n_seconds: between two plain lines.
        shows_bar: a bar or plain lines; None: a bar on a terminal.
    """
    shows_bar = sys.stderr.isatty() if shows_bar is None else shows_bar
    return Bar() if shows_bar else PlainLines(every_n_seconds)


def shown(latest: dict[str, float]) -> dict[str, str]:
    """Return the metrics that a progress display shows, under short names.

    `loss` is the training loss without label smoothing, since it stands beside `val/loss`, which
    has none; what is trained follows where it is something else.
    """
    trained = latest.get("train/loss")
    plain = latest.get("train/loss_unsmoothed", trained)
    values = {LOSS: plain, SMOOTHED: None if trained == plain else trained}
    values |= {name: latest[key] for key, name in SHOWN.items() if key in latest}
    return {name: f"{value:.4g}" for name, value in values.items() if value is not None}


def terminal_columns() -> int:
    """Return how wide the terminal of the error output is; 80 where nobody knows."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


class Bar(ProgressBar):
    """One bar over the whole run: percent, time left, loss; on a wide terminal the rest, too.

    Lightning's own bars count one epoch each, and are cut off at 80 columns.
    """

    def __init__(self) -> None:
        super().__init__()
        self._is_enabled = True
        self._bar: tqdm[Any] | None = None

    def disable(self) -> None:
        """Show nothing, in ranks other than 0."""
        self._is_enabled = False

    def enable(self) -> None:
        """Show the bar."""
        self._is_enabled = True

    def on_train_start(self, trainer: pl.Trainer, module: Any) -> None:
        """Begin, in a resumed run with something done before."""
        self._begin("training", module.plan.micro_steps, module.micro_step)
        self._show(module.latest)

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        """Go one micro-batch on."""
        self._show(module.latest)
        self._advance()

    def on_validation_start(self, trainer: pl.Trainer, module: Any) -> None:
        """Begin a bar, where validation is all there is to do."""
        if trainer.state.fn != TrainerFn.FITTING:
            self._begin("validating", int(sum(trainer.num_val_batches)))

    def on_validation_batch_end(
        self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_index: int, *_: Any
    ) -> None:
        """Say how far the validation is, in the bar of the training that it belongs to."""
        if trainer.state.fn != TrainerFn.FITTING:
            self._advance()
        elif self._bar is not None:
            batches = int(sum(trainer.num_val_batches))
            self._bar.set_description_str(f"validating {batch_index + 1}/{batches}")

    def on_validation_end(self, trainer: pl.Trainer, module: Any) -> None:
        """Go back to training, or end."""
        if trainer.state.fn != TrainerFn.FITTING:
            self._end()
        elif self._bar is not None:
            self._bar.set_description_str("training", refresh=False)
            self._show(module.latest)

    def on_train_end(self, *_: Any) -> None:
        """Leave the bar as it stands."""
        self._end()

    def on_predict_start(self, trainer: pl.Trainer, module: Any) -> None:
        """Begin."""
        self._begin("decoding", module.total)

    def on_predict_batch_end(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        """Go one context on."""
        self._show(module.latest)
        self._advance()

    def on_predict_end(self, *_: Any) -> None:
        """Leave the bar as it stands."""
        self._end()

    def on_exception(self, *_: Any) -> None:
        """Leave the bar, so that what is said next has a line of its own."""
        self._end()

    def _begin(self, description: str, total: int, done: int = 0) -> None:
        if self._is_enabled:  # the delay: nothing is shown before `_show` gave it its form
            self._bar = tqdm(total=total, initial=done, desc=description, smoothing=0.1, delay=1e-6)

    def _advance(self) -> None:
        if self._bar is not None:
            self._bar.update()

    def _show(self, latest: dict[str, float]) -> None:
        if self._bar is None:
            return
        columns = terminal_columns()
        is_wide = columns >= WIDE
        metrics = shown(latest)
        names = [name for name in metrics if is_wide or name in NARROW]
        self._bar.ncols = columns - 1  # some terminals begin a line after the last column
        self._bar.bar_format = WIDE_FORMAT if is_wide else FORMAT
        self._bar.set_postfix_str(
            ", ".join(f"{name} {metrics[name]}" for name in names), refresh=False
        )

    def _end(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class PlainLines(pl.Callback):
    """One line every `every_n_seconds`, and after each validation: steps done, loss, time left."""

    def __init__(self, every_n_seconds: float) -> None:
        self.every_n_seconds = every_n_seconds
        self._start = self._last = 0.0
        self._done_before = 0

    def on_train_start(self, trainer: pl.Trainer, module: Any) -> None:
        """Start the clock, in a resumed run with something done before."""
        self._start = self._last = time.monotonic()
        self._done_before = module.micro_step

    def on_predict_start(self, *_: Any) -> None:
        """Start the clock."""
        self._start = self._last = time.monotonic()
        self._done_before = 0

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        """Say how far training is."""
        self._line(
            trainer, "micro-batch", module.micro_step, module.plan.micro_steps, module.latest
        )

    def on_validation_end(self, trainer: pl.Trainer, module: Any) -> None:
        """Say what the validation found."""
        if not trainer.is_global_zero or "val/loss" not in module.latest:
            return
        latest = module.latest
        measured = f"val/loss {latest['val/loss']:.4f}"
        texts = [f"{name} {latest[name]:.4f}" for name in OF_TEXTS if name in latest]
        if texts:
            measured = f"{', '.join([measured, *texts])} ({latest[DECODING]:.1f} s to decode)"
        log.info("validation    %s after update %d", measured, module.update)

    def on_predict_batch_end(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        """Say how far decoding is."""
        self._line(trainer, "context", module.done, module.total, module.latest)

    def _line(
        self, trainer: pl.Trainer, unit: str, done: int, total: int, latest: dict[str, float]
    ) -> None:
        now = time.monotonic()
        if now - self._last < self.every_n_seconds or not trainer.is_global_zero or not done:
            return
        self._last = now
        seconds = round((now - self._start) / (done - self._done_before) * (total - done))
        metrics = "  ".join(f"{name} {value}" for name, value in shown(latest).items())
        log.info("%s %d/%d  %s  %d:%02d left", unit, done, total, metrics, *divmod(seconds, 60))
