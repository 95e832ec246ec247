"""Progress: a bar on a terminal, a plain line every few seconds elsewhere."""

import logging
import sys
import time
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import TQDMProgressBar

log = logging.getLogger(__name__)
SHOWN = {
    "train/loss": "loss",
    "train/lr": "lr",
    "train/tokens_per_second": "tokens/s",
    "train/rows_per_second": "rows/s",
    "train/share_of_peak": "of peak",
    "val/loss": "val/loss",
    "tokens/s": "tokens/s",
}


def progress_callback(every_n_seconds: float, shows_bar: bool | None = None) -> pl.Callback:
    """Return the progress display that was asked for, or that suits where the output goes.

    Args:
        every_n_seconds: between two plain lines.
        shows_bar: a bar or plain lines; None: a bar on a terminal.
    """
    shows_bar = sys.stderr.isatty() if shows_bar is None else shows_bar
    return Bar() if shows_bar else PlainLines(every_n_seconds)


def shown(latest: dict[str, float]) -> dict[str, str]:
    """Return the metrics that a progress display has room for, under short names."""
    return {name: f"{latest[key]:.4g}" for key, name in SHOWN.items() if key in latest}


class Bar(TQDMProgressBar):
    """Lightning's bar with the loss and the speed beside the time left."""

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        """Return what stands behind the bar."""
        return shown(getattr(pl_module, "latest", {}))


class PlainLines(pl.Callback):
    """One line every `every_n_seconds`: steps done, loss, rate, speed, time left."""

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
