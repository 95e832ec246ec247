"""The progress display: one bar over the run that fits the terminal, and what it shows."""

import fcntl
import os
import pty
import re
import struct
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread

import pytest

from lora_lightning.tracking.progress import shown
from tests.commands import run_command
from tests.tiny import TRAINING


def test_the_loss_beside_val_loss_is_the_one_without_label_smoothing():
    latest = {"train/loss": 1.85, "train/loss_unsmoothed": 0.75, "val/loss": 0.7}
    assert shown(latest) == {"loss": "0.75", "smoothed": "1.85", "val/loss": "0.7"}
    assert shown({"train/loss": 0.75, "train/loss_unsmoothed": 0.75}) == {"loss": "0.75"}
    assert shown({"train/loss": 1.85}) == {"loss": "1.85"}, "of a run from before"


@contextmanager
def terminal(columns: int, monkeypatch) -> Iterator[list[bytes]]:
    """Make the error output a terminal of so many columns; yield what is written there."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    written: list[bytes] = []

    def read() -> None:
        with suppress(OSError):  # the terminal is gone
            while part := os.read(ours, 65536):
                written.append(part)

    reader = Thread(target=read)
    reader.start()
    with open(its, "w", encoding="utf-8") as file, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", file)
        yield written
    reader.join()
    os.close(ours)


@pytest.mark.parametrize(("columns", "shows_rate"), [(80, False), (140, True)])
def test_the_bar_counts_the_run_and_fits_the_terminal(tmp_path, monkeypatch, columns, shows_rate):
    with terminal(columns, monkeypatch) as written:
        run_command("train", *TRAINING, "trainer.max_steps=4", "trainer.val_check_interval=2",
                    f"output_dir={tmp_path / 'run'}")  # fmt: skip
    said = re.split(r"[\r\n]", b"".join(written).decode())
    bars = [part for part in said if "%|" in part]
    assert max(map(len, bars)) < columns
    percents = [int(match[1]) for bar in bars if (match := re.search(r"(\d+)%\|", bar))]
    assert percents == sorted(percents)
    assert percents[-1] == 100
    for part in ("training ", "left", "loss ", "val/loss "):
        assert part in bars[-1]
    assert any(bar.startswith("validating 2/2") for bar in bars)
    assert ("lr " in bars[-1]) == shows_rate
