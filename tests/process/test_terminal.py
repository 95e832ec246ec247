"""A terminal that knows ASCII alone gets something readable."""

import io
import sys

import pytest

from lora_lightning.process.terminal import speak_plainly


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [("ascii", "name=... 0.1 +- 0.2 -> \\u675f"), ("utf-8", "name=… 0.1 ± 0.2 → 束")],
)
def test_what_a_terminal_cannot_show_becomes_ascii(encoding, shown, monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding, write_through=True))
    speak_plainly()
    sys.stdout.write("name=… 0.1 ± 0.2 → 束")
    assert written.getvalue().decode(encoding) == shown
