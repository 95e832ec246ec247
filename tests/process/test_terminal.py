"""A terminal that knows ASCII alone gets something readable."""

import io
import sys

import pytest

from lora_lightning.process.terminal import speak_plainly


@pytest.fixture
def ascii_terminal(monkeypatch):
    """Standard output that can encode ASCII alone."""
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, "ascii", write_through=True))
    return written


def test_our_signs_become_ascii_and_other_scripts_escapes(ascii_terminal):
    speak_plainly()
    sys.stdout.write("name=… 0.1 ± 0.2 → 束")
    assert ascii_terminal.getvalue() == b"name=... 0.1 +- 0.2 -> \\u675f"


def test_other_terminals_get_what_was_written(monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, "utf-8", write_through=True))
    speak_plainly()
    sys.stdout.write("… 束")
    assert written.getvalue().decode() == "… 束"
